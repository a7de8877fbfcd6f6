#include "config.h"

#include "fields.h"

#define MAX_NUMBER INT64_MAX /* of seeds, indexes and IDs */
#define MAX_DURATION_NS ((int64_t)1 << 60)
#define MAX_INFORMATION_BYTES 15000
#define MAX_CALLS 1000000000
#define DEFAULT_PEER_TIMEOUT_NS 10000000000

/* What the file says, before it is checked whether it makes sense. */
struct raw {
    wide seed, first_index, count, first_device_id, port, information_bytes, peer_timeout_ns;
    wide on_ns, off_min_ns, off_max_ns;
    struct json first_address;
    struct hmac_key shared_secret, own_secret;
    int transport, authentication, when_off, phase;
    bool redraw;
    bool has_home;
    struct json home_address;
    wide home_port, list_size, connect_timeout_ns, answer_timeout_ns, interval_ns, max_attempts;
};

static const char *const TRANSPORTS[] = {"tcp", "udp", NULL};
static const char *const AUTHENTICATIONS[] = {"xor", "hmac-sha256", NULL};
static const char *const WHEN_OFF[] = {"refuse", "silent", NULL};
static const char *const PHASES[] = {"random", "on", "off", NULL};

#define NAMED(its_name, its_member, its_kind, ...) \
    {.name = its_name, .kind = its_kind, .offset = offsetof(struct raw, its_member), __VA_ARGS__}
#define FIELD(its_member, its_kind, ...) NAMED(#its_member, its_member, its_kind, __VA_ARGS__)
#define WORD_FIELD(its_member, its_words) FIELD(its_member, FIELD_WORD, .words = its_words)

static const struct field POWER_FIELDS[] = {
    FIELD(on_ns, FIELD_INTEGER),
    FIELD(off_min_ns, FIELD_INTEGER),
    FIELD(off_max_ns, FIELD_INTEGER),
    FIELD(redraw, FIELD_BOOLEAN),
    WORD_FIELD(phase, PHASES),
    {0},
};

static const struct field HOME_FIELDS[] = {
    NAMED("address", home_address, FIELD_STRING),
    NAMED("port", home_port, FIELD_INTEGER),
    FIELD(list_size, FIELD_INTEGER),
    FIELD(connect_timeout_ns, FIELD_INTEGER),
    FIELD(answer_timeout_ns, FIELD_INTEGER),
    FIELD(interval_ns, FIELD_INTEGER),
    FIELD(max_attempts, FIELD_INTEGER),
    {0},
};

static bool home_makes_sense(const struct reading *reading);

static const struct field FARM_FIELDS[] = {
    FIELD(seed, FIELD_INTEGER),
    FIELD(first_index, FIELD_INTEGER),
    FIELD(count, FIELD_INTEGER),
    FIELD(first_device_id, FIELD_INTEGER),
    FIELD(first_address, FIELD_STRING),
    FIELD(port, FIELD_INTEGER),
    WORD_FIELD(transport, TRANSPORTS),
    WORD_FIELD(authentication, AUTHENTICATIONS),
    FIELD(shared_secret, FIELD_SECRET),
    FIELD(own_secret, FIELD_SECRET),
    FIELD(information_bytes, FIELD_INTEGER),
    {.name = "power", .kind = FIELD_OBJECT, .members = POWER_FIELDS, .prefix = "power."},
    WORD_FIELD(when_off, WHEN_OFF),
    FIELD(peer_timeout_ns, FIELD_INTEGER, .is_optional = true),
    NAMED("home", has_home, FIELD_OBJECT, .members = HOME_FIELDS, .prefix = "home.", .check = home_makes_sense,
          .is_optional = true, .may_be_null = true),
    {0},
};

static bool in_bounds(const struct reading *reading, const char *key, wide value, wide low, wide high)
{
    return field_within(reading, key, "", value, low, high);
}

/* In the order in which Home checks; keys begin with "home." */
static bool home_makes_sense(const struct reading *reading)
{
    const struct raw *raw = reading->raw;
    struct address address;
    return field_address(reading, "address", raw->home_address, 1, &address) &&
           in_bounds(reading, "port", raw->home_port, 1, UINT16_MAX) &&
           in_bounds(reading, "list_size", raw->list_size, 1, MAX_NUMBER) &&
           in_bounds(reading, "connect_timeout_ns", raw->connect_timeout_ns, 1, MAX_DURATION_NS) &&
           in_bounds(reading, "answer_timeout_ns", raw->answer_timeout_ns, 1, MAX_DURATION_NS) &&
           in_bounds(reading, "interval_ns", raw->interval_ns, 0, MAX_DURATION_NS) &&
           in_bounds(reading, "max_attempts", raw->max_attempts, 1, MAX_CALLS);
}

/* Whether every terminal's ISP server program has a port, and terminals that call do so over TCP. */
static bool home_fits(const struct reading *reading, struct farm_config *config)
{
    const struct raw *raw = reading->raw;
    if (!raw->has_home)
        return true;
    wide last_port = raw->home_port + (raw->first_index + raw->count - 1) / raw->list_size;
    if (!in_bounds(reading, "home.port", last_port, 1, UINT16_MAX))
        return false;
    if (raw->transport == TRANSPORT_TCP)
        return field_address(reading, "home.address", raw->home_address, 1, &config->home.address);
    field_wrong(reading, "transport");
    fail_more(reading->failure, "expected", "tcp, where terminals call");
    fail_more(reading->failure, "found", "'%s'", TRANSPORTS[raw->transport]);
    return false;
}

/* In the order in which FarmConfig checks. */
static bool makes_sense(const struct reading *reading, struct farm_config *config)
{
    const struct raw *raw = reading->raw;
    return in_bounds(reading, "seed", raw->seed, 0, MAX_NUMBER) &&
           in_bounds(reading, "count", raw->count, 1, MAX_NUMBER) &&
           in_bounds(reading, "first_index", raw->first_index, 0, MAX_NUMBER - raw->count + 1) &&
           in_bounds(reading, "first_device_id", raw->first_device_id, 0, MAX_NUMBER - raw->count + 1) &&
           field_address(reading, "first_address", raw->first_address, raw->count, &config->first_address) &&
           field_within(reading, "port", "a port, ", raw->port, 1, UINT16_MAX) &&
           in_bounds(reading, "information_bytes", raw->information_bytes, 0, MAX_INFORMATION_BYTES) &&
           in_bounds(reading, "power.on_ns", raw->on_ns, 1, MAX_DURATION_NS) &&
           in_bounds(reading, "power.off_min_ns", raw->off_min_ns, 1, MAX_DURATION_NS) &&
           in_bounds(reading, "power.off_max_ns", raw->off_max_ns, raw->off_min_ns, MAX_DURATION_NS) &&
           in_bounds(reading, "peer_timeout_ns", raw->peer_timeout_ns, 1, MAX_DURATION_NS) &&
           home_fits(reading, config);
}

static void settle(const struct raw *raw, struct farm_config *config)
{
    config->seed = raw->seed;
    config->first_index = raw->first_index;
    config->count = raw->count;
    config->first_device_id = raw->first_device_id;
    config->port = raw->port;
    config->transport = raw->transport;
    config->fleet = (struct fleet){
        .scheme = raw->authentication == 0 ? &XOR_SCHEME : &HMAC_SCHEME,
        .shared_secret = raw->shared_secret,
        .own_secret = raw->own_secret,
        .information_bytes = raw->information_bytes,
    };
    config->power = (struct power_settings){raw->on_ns, raw->off_min_ns, raw->off_max_ns, raw->redraw, raw->phase};
    config->is_silent_when_off = raw->when_off;
    config->peer_timeout_ns = raw->peer_timeout_ns;
    config->home.is_called = raw->has_home;
    config->home.port = raw->home_port;
    config->home.list_size = raw->list_size;
    config->home.connect_timeout_ns = raw->connect_timeout_ns;
    config->home.answer_timeout_ns = raw->answer_timeout_ns;
    config->home.interval_ns = raw->interval_ns;
    config->home.max_attempts = raw->max_attempts;
}

bool config_read(struct farm_config *config, const char *text, size_t size, const char *file, struct failure *failure)
{
    struct raw raw = {.peer_timeout_ns = DEFAULT_PEER_TIMEOUT_NS};
    struct reading reading = {&raw, file, "", failure};
    struct json whole;
    if (!json_check(text, size, &whole)) {
        fail(failure, INPUT_ERROR, "%s: not JSON", file);
        fail_more(failure, "expected", "a JSON object");
        fail_more(failure, "found", "something else at character %zu", (size_t)(whole.at - text));
        return false;
    }
    if (!fields_read(&reading, FARM_FIELDS, whole, "") || !makes_sense(&reading, config))
        return false;
    settle(&raw, config);
    return true;
}
