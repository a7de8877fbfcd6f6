#include "config.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

#define MAX_NUMBER INT64_MAX /* of seeds, indexes and IDs */
#define MAX_DURATION_NS ((int64_t)1 << 60)
#define MAX_INFORMATION_BYTES 15000
#define DEFAULT_PEER_TIMEOUT_NS 10000000000

/* What the file says, before it is checked whether it makes sense. */
struct raw {
    wide seed, first_index, count, first_device_id, port, information_bytes, peer_timeout_ns;
    wide on_ns, off_min_ns, off_max_ns;
    struct json first_address;
    struct hmac_key shared_secret, own_secret;
    int transport, authentication, when_off, phase;
    bool redraw;
};

enum field_kind { INTEGER, BOOLEAN, STRING, SECRET, WORD, POWER };

struct field {
    const char *name;
    enum field_kind kind;
    size_t offset;
    const char *const *words; /* of a WORD, up to NULL; its value is the index */
    bool is_optional;
};

static const char *const TRANSPORTS[] = {"tcp", "udp", NULL};
static const char *const AUTHENTICATIONS[] = {"xor", "hmac-sha256", NULL};
static const char *const WHEN_OFF[] = {"refuse", "silent", NULL};
static const char *const PHASES[] = {"random", "on", "off", NULL};

#define FIELD(its_name, its_kind, ...) \
    {.name = #its_name, .kind = its_kind, .offset = offsetof(struct raw, its_name), __VA_ARGS__}
#define WORD_FIELD(its_name, its_words) FIELD(its_name, WORD, .words = its_words)

static const struct field POWER_FIELDS[] = {
    FIELD(on_ns, INTEGER),
    FIELD(off_min_ns, INTEGER),
    FIELD(off_max_ns, INTEGER),
    FIELD(redraw, BOOLEAN),
    WORD_FIELD(phase, PHASES),
    {0},
};

static const struct field FARM_FIELDS[] = {
    FIELD(seed, INTEGER),
    FIELD(first_index, INTEGER),
    FIELD(count, INTEGER),
    FIELD(first_device_id, INTEGER),
    FIELD(first_address, STRING),
    FIELD(port, INTEGER),
    WORD_FIELD(transport, TRANSPORTS),
    WORD_FIELD(authentication, AUTHENTICATIONS),
    FIELD(shared_secret, SECRET),
    FIELD(own_secret, SECRET),
    FIELD(information_bytes, INTEGER),
    {.name = "power", .kind = POWER},
    WORD_FIELD(when_off, WHEN_OFF),
    FIELD(peer_timeout_ns, INTEGER, .is_optional = true),
    {0},
};

/* Where in the file the reader is, and where it complains. */
struct reading {
    struct raw *raw;
    const char *file;
    const char *prefix; /* of keys: "" or "power." */
    struct failure *failure;
};

/* The key's value is wrong, or the key itself.  What is expected and found is to be added. */
static bool wrong_key(const struct reading *reading, const char *key, size_t size)
{
    struct text whole = {0};
    text_put(&whole, reading->prefix, strlen(reading->prefix));
    text_put(&whole, key, size);
    fail(reading->failure, INPUT_ERROR, "%s: ", reading->file);
    if (whole.size > 0) {
        text_add(&reading->failure->text, "key ");
        text_put_repr(&reading->failure->text, whole.data, whole.size);
        text_add(&reading->failure->text, " is wrong");
    } else {
        text_add(&reading->failure->text, "the whole is wrong");
    }
    text_free(&whole);
    return false;
}

static bool wrong(const struct reading *reading, const char *key)
{
    return wrong_key(reading, key, strlen(key));
}

static void expect_one_of(struct failure *failure, const char *const *words)
{
    fail_more(failure, "expected", "one of ");
    for (int i = 0; words[i] != NULL; i++)
        text_add(&failure->text, "%s%s", i > 0 ? ", " : "", words[i]);
}

static void expect_kind(struct failure *failure, const struct field *field)
{
    static const char *const NAMES[] = {
        [INTEGER] = "an integer",
        [BOOLEAN] = "true or false",
        [STRING] = "a string",
        [SECRET] = "bytes in hexadecimal",
        [POWER] = "an object",
    };
    if (field->kind == WORD)
        expect_one_of(failure, field->words);
    else
        fail_more(failure, "expected", "%s", NAMES[field->kind]);
}

static void found(struct failure *failure, struct json value)
{
    fail_more(failure, "found", "%s", "");
    json_repr(value, &failure->text);
}

static bool read_word(struct json value, const char *const *words, int *index)
{
    if (json_kind(value) != JSON_STRING)
        return false;
    for (*index = 0; words[*index] != NULL; ++*index)
        if (json_equals(value, words[*index]))
            return true;
    return false;
}

static int hex_digit(char letter)
{
    return isdigit((unsigned char)letter) ? letter - '0' : tolower((unsigned char)letter) - 'a' + 10;
}

/* Hexadecimal, in place; white space between the bytes is as good as none.  SIZE_MAX when it is something else. */
static size_t from_hex(char *text, size_t size)
{
    size_t count = 0;
    for (size_t at = 0; at < size; at++) {
        if (isspace((unsigned char)text[at]))
            continue;
        if (at + 1 == size || !isxdigit((unsigned char)text[at]) || !isxdigit((unsigned char)text[at + 1]))
            return SIZE_MAX;
        text[count++] = hex_digit(text[at]) << 4 | hex_digit(text[at + 1]);
        at++;
    }
    return count;
}

static bool read_secret(struct json value, struct hmac_key *key)
{
    char *content = json_kind(value) == JSON_STRING ? malloc(value.end - value.at) : NULL;
    if (content == NULL)
        return false;
    size_t size = from_hex(content, json_content(value, content));
    if (size != SIZE_MAX)
        hmac_key_set(key, content, size);
    free(content);
    return size != SIZE_MAX;
}

static bool read_object(const struct reading *reading, const struct field *fields, struct json value,
                        const char *key);

static bool read_value(const struct reading *reading, const struct field *field, struct json value)
{
    void *to = (char *)reading->raw + field->offset;
    enum json_kind kind = json_kind(value);
    bool is_right = false;
    switch (field->kind) {
    case INTEGER:
        is_right = kind == JSON_INTEGER;
        if (is_right)
            *(wide *)to = json_integer(value);
        break;
    case BOOLEAN:
        is_right = kind == JSON_TRUE || kind == JSON_FALSE;
        *(bool *)to = kind == JSON_TRUE;
        break;
    case STRING:
        is_right = kind == JSON_STRING;
        *(struct json *)to = value;
        break;
    case SECRET:
        is_right = read_secret(value, to);
        break;
    case WORD:
        is_right = read_word(value, field->words, to);
        break;
    case POWER:
        return read_object(&(struct reading){reading->raw, reading->file, "power.", reading->failure}, POWER_FIELDS,
                           value, field->name);
    }
    if (!is_right) {
        wrong(reading, field->name);
        expect_kind(reading->failure, field);
        found(reading->failure, value);
    }
    return is_right;
}

static bool is_known(const struct field *fields, struct json name)
{
    for (; fields->name != NULL; fields++)
        if (json_equals(name, fields->name))
            return true;
    return false;
}

static bool unknown_key(const struct reading *reading, const struct field *fields, struct json name)
{
    struct failure *failure = reading->failure;
    char *key = malloc(name.end - name.at);
    if (key != NULL)
        wrong_key(reading, key, json_content(name, key));
    free(key);
    fail_more(failure, "expected", "one of ");
    for (const struct field *field = fields; field->name != NULL; field++)
        text_add(&failure->text, "%s%s", field > fields ? ", " : "", field->name);
    fail_more(failure, "found", "an unknown key");
    return false;
}

/* An object of known keys; `key` is its own, "" for the whole. */
static bool read_object(const struct reading *reading, const struct field *fields, struct json value,
                        const char *key)
{
    if (json_kind(value) != JSON_OBJECT) {
        wrong(&(struct reading){reading->raw, reading->file, "", reading->failure}, key);
        fail_more(reading->failure, "expected", "an object");
        found(reading->failure, value);
        return false;
    }
    struct json left = value, name, member;
    while (json_member(&left, &name, &member))
        if (!is_known(fields, name))
            return unknown_key(reading, fields, name);
    for (const struct field *field = fields; field->name != NULL; field++) {
        if (json_find(value, field->name, &member)) {
            if (!read_value(reading, field, member))
                return false;
        } else if (!field->is_optional) {
            wrong(reading, field->name);
            expect_kind(reading->failure, field);
            fail_more(reading->failure, "found", "nothing: the key is missing");
            return false;
        }
    }
    return true;
}

static bool read_address(struct json value, wide count, struct address *address)
{
    char *text = calloc(value.end - value.at, 1);
    if (text == NULL)
        return false;
    size_t size = json_content(value, text);
    struct address last;
    bool is_good = strlen(text) == size && address_read(address, text);
    last = *address;
    free(text);
    return is_good && address_plus(&last, count - 1);
}

static void put_wide(struct text *text, wide value)
{
    char digits[48], *at = digits + sizeof digits;
    unsigned __int128 left = value < 0 ? -value : value;
    *--at = 0;
    do
        *--at = '0' + (int)(left % 10);
    while ((left /= 10) > 0);
    text_add(text, "%s%s", value < 0 ? "-" : "", at);
}

/* Checks low ≤ value ≤ high; what: of which these are the bounds. */
static bool within(const struct reading *reading, const char *key, const char *what, wide value, wide low, wide high)
{
    if (low <= value && value <= high)
        return true;
    struct failure *failure = reading->failure;
    wrong(reading, key);
    fail_more(failure, "expected", "%s", what);
    put_wide(&failure->text, low);
    text_add(&failure->text, " to ");
    put_wide(&failure->text, high);
    fail_more(failure, "found", "%s", "");
    put_wide(&failure->text, value);
    return false;
}

static bool in_bounds(const struct reading *reading, const char *key, wide value, wide low, wide high)
{
    return within(reading, key, "", value, low, high);
}

static bool addresses_exist(const struct reading *reading, struct farm_config *config)
{
    const struct raw *raw = reading->raw;
    if (read_address(raw->first_address, raw->count, &config->first_address))
        return true;
    wrong(reading, "first_address");
    fail_more(reading->failure, "expected", "an IPv4 or IPv6 address with ");
    put_wide(&reading->failure->text, raw->count - 1);
    text_add(&reading->failure->text, " more after it");
    found(reading->failure, raw->first_address);
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
           addresses_exist(reading, config) && within(reading, "port", "a port, ", raw->port, 1, UINT16_MAX) &&
           in_bounds(reading, "information_bytes", raw->information_bytes, 0, MAX_INFORMATION_BYTES) &&
           in_bounds(reading, "power.on_ns", raw->on_ns, 1, MAX_DURATION_NS) &&
           in_bounds(reading, "power.off_min_ns", raw->off_min_ns, 1, MAX_DURATION_NS) &&
           in_bounds(reading, "power.off_max_ns", raw->off_max_ns, raw->off_min_ns, MAX_DURATION_NS) &&
           in_bounds(reading, "peer_timeout_ns", raw->peer_timeout_ns, 1, MAX_DURATION_NS);
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
    if (!read_object(&reading, FARM_FIELDS, whole, "") || !makes_sense(&reading, config))
        return false;
    settle(&raw, config);
    return true;
}
