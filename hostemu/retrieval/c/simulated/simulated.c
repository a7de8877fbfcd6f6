#include "simulated.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../config.h"
#include "../streams.h"
#include "frames.h"

#define FIRST_SLOTS 1024      /* of connections; a power of two */
#define MAX_SEGMENT 1460
#define DEFAULT_SEGMENT 536   /* RFC 9293, 3.7.1 */
#define WINDOW 65535

/* A caller's connection, and the exchange on it. */
struct connection {
    uint32_t terminal; /* offset in the farm */
    uint32_t peer_address;
    uint16_t peer_port;
    uint16_t segment_bytes; /* the most that the peer takes in one */
    bool is_used, is_shut;  /* shut: its own end is said */
    bool is_established;
    uint32_t unacked, next, expected; /* SND.UNA, SND.NXT, RCV.NXT */
    int64_t ends_ns;                  /* when its terminal goes off, or the caller has had time enough */
    uint8_t *kept;                    /* from `unacked` on, what was sent and may have to be sent again */
    uint32_t kept_bytes;
    struct frame_reader reader;
    struct session session;
};

/* A connection that may end; first the one that ends first. */
struct ending {
    int64_t at_ns;
    uint32_t terminal, peer_address;
    uint16_t peer_port;
};

struct simulated {
    struct farm_config config;
    struct power_plan plan;
    struct power_cycle *power;
    struct nonce_memory **nonces;
    uint8_t own_mac[MAC_BYTES], gateway_mac[MAC_BYTES];
    uint32_t first_address;
    uint64_t nonce_key, sequence_key, drawn;
    int64_t start_ns;
    bool has_started;
    uint64_t begun_on; /* terminals that were on at time 0 */

    struct connection *connections; /* a hash table, with linear probing */
    uint32_t slots, used;
    struct ending *endings; /* a heap */
    uint32_t ending_count, ending_room;

    uint64_t served, accepted, refusals[REASONS];
    uint8_t answer[WHOLE_FRAME_BYTES];
};

/* One segment on its way through the farm. */
struct arrival {
    struct simulated *farm;
    int64_t now_ns;
    struct segment in;
    uint32_t terminal;
    uint8_t *said;
    int64_t said_bytes;
};

/* --- connections --- */

static uint32_t hash(uint32_t terminal, uint32_t address, uint16_t port)
{
    uint64_t word = (uint64_t)terminal << 32 ^ (uint64_t)address << 16 ^ port;
    word = (word ^ word >> 29) * 0xbf58476d1ce4e5b9;
    return (uint32_t)(word >> 32);
}

static bool is_between(const struct connection *connection, uint32_t terminal, uint32_t address, uint16_t port)
{
    return connection->terminal == terminal && connection->peer_address == address && connection->peer_port == port;
}

/* Where that connection is, or would be. */
static struct connection *find(const struct simulated *farm, uint32_t terminal, uint32_t address, uint16_t port)
{
    uint32_t at = hash(terminal, address, port) & (farm->slots - 1);
    while (farm->connections[at].is_used && !is_between(&farm->connections[at], terminal, address, port))
        at = (at + 1) & (farm->slots - 1);
    return &farm->connections[at];
}

static bool make_room(struct simulated *farm)
{
    if (2 * (farm->used + 1) <= farm->slots)
        return true;
    struct connection *old = farm->connections;
    uint32_t old_slots = farm->slots;
    struct connection *larger = calloc(2 * (size_t)old_slots, sizeof *larger);
    if (larger == NULL)
        return false;
    farm->connections = larger;
    farm->slots = 2 * old_slots;
    for (uint32_t i = 0; i < old_slots; i++)
        if (old[i].is_used)
            *find(farm, old[i].terminal, old[i].peer_address, old[i].peer_port) = old[i];
    free(old);
    return true;
}

static void forget(struct simulated *farm, struct connection *connection)
{
    frame_reader_free(&connection->reader);
    free(connection->kept);
    uint32_t hole = (uint32_t)(connection - farm->connections);
    farm->connections[hole] = (struct connection){0};
    farm->used--;
    // Those behind move up, unless they would get in front of where they belong.
    for (uint32_t at = (hole + 1) & (farm->slots - 1); farm->connections[at].is_used;
         at = (at + 1) & (farm->slots - 1)) {
        struct connection *behind = &farm->connections[at];
        uint32_t home = hash(behind->terminal, behind->peer_address, behind->peer_port) & (farm->slots - 1);
        if (((at - home) & (farm->slots - 1)) < ((at - hole) & (farm->slots - 1)))
            continue;
        farm->connections[hole] = *behind;
        *behind = (struct connection){0};
        hole = at;
    }
}

static bool note_ending(struct simulated *farm, const struct connection *connection)
{
    if (farm->ending_count == farm->ending_room) {
        uint32_t room = farm->ending_room == 0 ? FIRST_SLOTS : 2 * farm->ending_room;
        struct ending *larger = realloc(farm->endings, room * sizeof *larger);
        if (larger == NULL)
            return false;
        farm->endings = larger;
        farm->ending_room = room;
    }
    struct ending new = {connection->ends_ns, connection->terminal, connection->peer_address, connection->peer_port};
    uint32_t at = farm->ending_count++;
    while (at > 0 && farm->endings[(at - 1) / 2].at_ns > new.at_ns) {
        farm->endings[at] = farm->endings[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    farm->endings[at] = new;
    return true;
}

static struct ending take_ending(struct simulated *farm)
{
    struct ending first = farm->endings[0], last = farm->endings[--farm->ending_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= farm->ending_count)
            break;
        if (child + 1 < farm->ending_count && farm->endings[child + 1].at_ns < farm->endings[child].at_ns)
            child++;
        if (farm->endings[child].at_ns >= last.at_ns)
            break;
        farm->endings[at] = farm->endings[child];
        at = child;
    }
    if (farm->ending_count > 0)
        farm->endings[at] = last;
    return first;
}

/* --- segments that leave --- */

static void send_segment(struct arrival *arrival, struct segment out)
{
    const struct simulated *farm = arrival->farm;
    int64_t bytes = VNET_BYTES + segment_frame_bytes(&out);
    int64_t whole = (int64_t)sizeof bytes + ((bytes + 7) & ~(int64_t)7);
    if (arrival->said_bytes + whole > MOST_SAID_BYTES)
        return; // lost, as by a queue that is full
    uint8_t *at = arrival->said + arrival->said_bytes;
    memcpy(at, &bytes, sizeof bytes);
    memset(at + sizeof bytes, 0, VNET_BYTES);
    segment_write(&out, farm->own_mac, farm->gateway_mac, at + sizeof bytes + VNET_BYTES);
    arrival->said_bytes += whole;
}

static struct segment from_connection(const struct simulated *farm, const struct connection *connection)
{
    return (struct segment){
        .source = farm->first_address + connection->terminal,
        .target = connection->peer_address,
        .source_port = farm->config.port,
        .target_port = connection->peer_port,
        .sequence = connection->next,
        .acknowledged = connection->expected,
        .flags = TCP_ACK,
        .window = WINDOW,
    };
}

/* As RFC 9293, 3.10.7.1 has it. */
static void reset_caller(struct arrival *arrival)
{
    const struct segment *in = &arrival->in;
    if (in->flags & TCP_RST)
        return;
    struct segment out = {
        .source = in->target, .target = in->source, .source_port = in->target_port, .target_port = in->source_port};
    if (in->flags & TCP_ACK) {
        out.flags = TCP_RST;
        out.sequence = in->acknowledged;
    } else {
        out.flags = TCP_RST | TCP_ACK;
        out.acknowledged = in->sequence + segment_space(in);
    }
    send_segment(arrival, out);
}

static void send_kept(struct arrival *arrival, const struct connection *connection, uint32_t from)
{
    struct segment out = from_connection(arrival->farm, connection);
    for (uint32_t at = from; at < connection->kept_bytes; at += (uint32_t)out.data.size) {
        uint32_t left = connection->kept_bytes - at;
        out.sequence = connection->unacked + at;
        out.data.data = connection->kept + at;
        out.data.size = left < connection->segment_bytes ? left : connection->segment_bytes;
        out.flags = TCP_ACK | (out.data.size == left ? TCP_PSH : 0);
        send_segment(arrival, out);
    }
}

static void send_end(struct arrival *arrival, const struct connection *connection)
{
    struct segment out = from_connection(arrival->farm, connection);
    out.sequence = connection->next - 1;
    out.flags = TCP_ACK | TCP_FIN;
    send_segment(arrival, out);
}

static void acknowledge(struct arrival *arrival, const struct connection *connection)
{
    send_segment(arrival, from_connection(arrival->farm, connection));
}

static void accept_again(struct arrival *arrival, const struct connection *connection)
{
    struct segment out = from_connection(arrival->farm, connection);
    out.sequence = connection->next - 1;
    out.flags = TCP_SYN | TCP_ACK;
    out.segment_bytes = MAX_SEGMENT;
    send_segment(arrival, out);
}

/* --- the exchange --- */

static int64_t run_ns(const struct simulated *farm, int64_t now_ns)
{
    return farm->has_started && now_ns > farm->start_ns ? now_ns - farm->start_ns : 0;
}

static bool is_on(struct simulated *farm, uint32_t terminal, int64_t now_ns)
{
    uint64_t index = farm->config.first_index + terminal;
    return power_advance(&farm->power[terminal], &farm->plan, index, run_ns(farm, now_ns));
}

static struct device device_of(struct simulated *farm, uint32_t terminal)
{
    uint64_t id = farm->config.first_device_id + terminal;
    return (struct device){&farm->config.fleet, id, &farm->nonces[terminal]};
}

static void count(struct simulated *farm, const struct doing *doing)
{
    farm->served += doing->is_served;
    if (doing->refused != REASON_NONE)
        farm->refusals[doing->refused]++;
}

/* Sends what is to be said, and keeps it until it is acknowledged. */
static void act(struct arrival *arrival, struct connection *connection, struct doing doing)
{
    count(arrival->farm, &doing);
    if (doing.frame_bytes > 0 && !connection->is_shut) {
        uint8_t *kept = realloc(connection->kept, connection->kept_bytes + doing.frame_bytes);
        if (kept == NULL)
            return;
        uint32_t from = connection->kept_bytes;
        memcpy(kept + from, arrival->farm->answer, doing.frame_bytes);
        connection->kept = kept;
        connection->kept_bytes += (uint32_t)doing.frame_bytes;
        connection->next += (uint32_t)doing.frame_bytes;
        send_kept(arrival, connection, from);
    }
    if (doing.refused != REASON_NONE && !connection->is_shut) { // the caller has time to read the refusal
        connection->next++;
        connection->is_shut = true;
        send_end(arrival, connection);
    }
}

/* Refuses what is unfinished, says no more, and forgets the caller. */
static void give_up(struct arrival *arrival, struct connection *connection, enum reason reason)
{
    struct doing doing = session_broken(&connection->session, reason, arrival->farm->answer);
    count(arrival->farm, &doing);
    forget(arrival->farm, connection);
}

static void hear(struct arrival *arrival, struct connection *connection, struct bytes data)
{
    struct simulated *farm = arrival->farm;
    struct frames frames;
    struct message message;
    if (connection->is_shut)
        return;
    enum reason wrong = frames_open(&frames, &connection->reader, data);
    if (wrong != REASON_NONE) {
        act(arrival, connection, session_broken(&connection->session, wrong, farm->answer));
        return;
    }
    struct device device = device_of(farm, connection->terminal);
    while (frames_next(&frames, &message))
        act(arrival, connection, session_receive(&connection->session, &device, &message, farm->answer));
    frames_close(&frames);
}

static void take_acknowledgement(struct connection *connection, uint32_t acknowledged)
{
    uint32_t taken = acknowledged - connection->unacked;
    if (taken == 0 || taken > connection->next - connection->unacked)
        return;
    connection->is_established = true;
    uint32_t octets = taken < connection->kept_bytes ? taken : connection->kept_bytes;
    if (octets > 0) {
        connection->kept_bytes -= octets;
        memmove(connection->kept, connection->kept + octets, connection->kept_bytes);
    }
    connection->unacked = acknowledged;
}

static void repeat(struct arrival *arrival, const struct connection *connection)
{
    if (!connection->is_established)
        accept_again(arrival, connection);
    else if (connection->kept_bytes > 0)
        send_kept(arrival, connection, 0);
    else
        acknowledge(arrival, connection);
    if (connection->is_shut && connection->unacked != connection->next)
        send_end(arrival, connection);
}

static void accept_caller(struct arrival *arrival, struct connection *connection)
{
    struct simulated *farm = arrival->farm;
    uint8_t nonce[NONCE_BYTES];
    put_u64(nonce, stream_u64(farm->nonce_key, 2 * farm->drawn));
    put_u64(nonce + 8, stream_u64(farm->nonce_key, 2 * farm->drawn + 1));
    uint32_t first = (uint32_t)stream_u64(farm->sequence_key, farm->drawn++);
    int64_t most_ns = arrival->now_ns + farm->config.peer_timeout_ns, off_ns = NEVER_NS;
    if (farm->has_started && arrival->now_ns >= farm->start_ns)
        off_ns = farm->start_ns + farm->power[arrival->terminal].next_change_ns;
    *connection = (struct connection){
        .terminal = arrival->terminal,
        .peer_address = arrival->in.source,
        .peer_port = arrival->in.source_port,
        .segment_bytes = arrival->in.segment_bytes ? arrival->in.segment_bytes : DEFAULT_SEGMENT,
        .is_used = true,
        .unacked = first,
        .next = first + 1,
        .expected = arrival->in.sequence + 1,
        .ends_ns = off_ns < most_ns ? off_ns : most_ns,
    };
    if (connection->segment_bytes > MAX_SEGMENT)
        connection->segment_bytes = MAX_SEGMENT;
    session_begin(&connection->session, nonce);
    farm->used++;
    if (!note_ending(farm, connection)) {
        forget(farm, connection);
        farm->refusals[REASON_LOCAL]++;
        reset_caller(arrival);
        return;
    }
    farm->accepted++;
    accept_again(arrival, connection);
}

static void on_connection(struct arrival *arrival, struct connection *connection)
{
    const struct segment *in = &arrival->in;
    if (in->flags & TCP_RST) {
        give_up(arrival, connection, REASON_RESET);
        return;
    }
    uint32_t ahead = in->sequence - connection->expected;
    if (in->flags & TCP_SYN || ahead != 0) { // what has come already, or comes before its turn
        if (ahead == 0 || ahead >= 1u << 31)
            repeat(arrival, connection);
        else
            acknowledge(arrival, connection);
        return;
    }
    if (in->flags & TCP_ACK)
        take_acknowledgement(connection, in->acknowledged);
    uint32_t said = connection->next;
    connection->expected += (uint32_t)in->data.size;
    if (in->data.size > 0)
        hear(arrival, connection, in->data);
    if (in->flags & TCP_FIN) { // as the farm program, which closes at once
        connection->expected++;
        give_up(arrival, connection, connection->reader.rest != NULL ? REASON_TRUNCATED : REASON_RESET);
        reset_caller(arrival);
    } else if (in->data.size > 0 && connection->next == said) {
        acknowledge(arrival, connection);
    }
}

static void on_segment(struct arrival *arrival)
{
    struct simulated *farm = arrival->farm;
    const struct segment *in = &arrival->in;
    arrival->terminal = in->target - farm->first_address;
    bool is_ours = arrival->terminal < farm->config.count && in->target_port == farm->config.port;
    if (!is_ours || !is_on(farm, arrival->terminal, arrival->now_ns)) {
        if (!is_ours || !farm->config.is_silent_when_off)
            reset_caller(arrival);
        return;
    }
    struct connection *connection = find(farm, arrival->terminal, in->source, in->source_port);
    if (connection->is_used)
        on_connection(arrival, connection);
    else if ((in->flags & (TCP_SYN | TCP_ACK | TCP_RST)) != TCP_SYN)
        reset_caller(arrival);
    else if (make_room(farm))
        accept_caller(arrival, find(farm, arrival->terminal, in->source, in->source_port));
    else
        reset_caller(arrival);
}

/* --- the farm --- */

static void on_ending(struct arrival *arrival, struct ending ending)
{
    struct simulated *farm = arrival->farm;
    struct connection *connection = find(farm, ending.terminal, ending.peer_address, ending.peer_port);
    if (!connection->is_used || connection->ends_ns != ending.at_ns)
        return; // it has ended before
    if (!farm->config.is_silent_when_off) {
        struct segment out = from_connection(farm, connection);
        out.flags = TCP_RST | TCP_ACK;
        send_segment(arrival, out);
    }
    give_up(arrival, connection, REASON_RESET);
}

int64_t simulated_call(struct simulated *farm, int64_t now_ns, const uint8_t *frame, int64_t bytes, uint8_t *said)
{
    struct arrival arrival = {.farm = farm, .now_ns = now_ns, .said = said, .said_bytes = sizeof(int64_t)};
    if (frame != NULL && segment_read(frame + VNET_BYTES, bytes - VNET_BYTES, &arrival.in))
        on_segment(&arrival);
    else if (frame == NULL && farm->ending_count > 0 && farm->endings[0].at_ns <= now_ns)
        on_ending(&arrival, take_ending(farm));
    int64_t next_ns = farm->ending_count > 0 ? farm->endings[0].at_ns : NEVER_NS;
    memcpy(said, &next_ns, sizeof next_ns);
    return arrival.said_bytes;
}

void simulated_start(struct simulated *farm, int64_t at_ns)
{
    farm->start_ns = at_ns;
    farm->has_started = true;
}

static bool is_possible(const struct farm_config *config, struct failure *failure)
{
    if (config->transport == TRANSPORT_TCP && config->first_address.family == AF_INET && !config->home.is_called)
        return true;
    fail(failure, INPUT_ERROR, "such terminals cannot be simulated among real hosts");
    fail_more(failure, "expected", "terminals that are called over TCP, with IPv4 addresses");
    return false;
}

static bool furnish(struct simulated *farm)
{
    uint64_t count = farm->config.count;
    farm->power = calloc(count, sizeof *farm->power);
    farm->nonces = calloc(count, sizeof(struct nonce_memory *));
    farm->slots = FIRST_SLOTS;
    farm->connections = calloc(farm->slots, sizeof *farm->connections);
    if (farm->power == NULL || farm->nonces == NULL || farm->connections == NULL)
        return false;
    power_plan(&farm->plan, &farm->config.power, farm->config.seed);
    for (uint64_t i = 0; i < count; i++) {
        power_begin(&farm->power[i], &farm->plan, farm->config.first_index + i);
        farm->begun_on += farm->power[i].is_on;
    }
    return true;
}

static void complain(struct failure *failure, char *complaint, uint64_t room)
{
    const char *text = failure->text.size > 0 ? failure->text.data : "out of memory";
    strncpy(complaint, text, room - 1);
    complaint[room - 1] = 0;
    text_free(&failure->text);
}

static void put_mac(uint8_t mac[MAC_BYTES], uint64_t number)
{
    for (int i = MAC_BYTES - 1; i >= 0; i--, number >>= 8)
        mac[i] = (uint8_t)number;
}

struct simulated *simulated_open(const char *config, uint64_t size, uint64_t own_mac, uint64_t gateway_mac,
                                 char *complaint, uint64_t room)
{
    struct failure failure = {0};
    struct simulated *farm = calloc(1, sizeof *farm);
    if (farm == NULL || !config_read(&farm->config, config, size, "the configuration", &failure) ||
        !is_possible(&farm->config, &failure) || !furnish(farm)) {
        complain(&failure, complaint, room);
        if (farm != NULL)
            simulated_close(farm);
        return NULL;
    }
    char name[NAME_BYTES];
    memcpy(&farm->first_address, farm->config.first_address.octets, sizeof farm->first_address);
    farm->first_address = ntohl(farm->first_address);
    put_mac(farm->own_mac, own_mac);
    put_mac(farm->gateway_mac, gateway_mac);
    snprintf(name, sizeof name, "simulated" NAME_SEPARATOR "nonces" NAME_SEPARATOR "%" PRIu64,
             farm->config.first_index);
    farm->nonce_key = stream_named(farm->config.seed, name);
    snprintf(name, sizeof name, "simulated" NAME_SEPARATOR "sequences" NAME_SEPARATOR "%" PRIu64,
             farm->config.first_index);
    farm->sequence_key = stream_named(farm->config.seed, name);
    return farm;
}

void simulated_close(struct simulated *farm)
{
    for (uint32_t i = 0; farm->connections != NULL && i < farm->slots; i++) {
        frame_reader_free(&farm->connections[i].reader);
        free(farm->connections[i].kept);
    }
    for (uint64_t i = 0; farm->nonces != NULL && i < farm->config.count; i++)
        free(farm->nonces[i]);
    free(farm->connections);
    free(farm->nonces);
    free(farm->power);
    free(farm->endings);
    free(farm);
}

uint64_t simulated_counters(struct simulated *farm, int64_t now_ns, char *text, uint64_t room)
{
    struct text said = {0};
    const char *separator = "";
    uint64_t on = 0, switches = 0;
    for (uint64_t i = 0; i < farm->config.count; i++) {
        on += is_on(farm, (uint32_t)i, now_ns);
        switches += 2 * farm->power[i].cycle;
    }
    // Each cycle ends by going off; whoever is on now has come on once more, or was so from the beginning.
    switches += on - farm->begun_on;
    text_add(&said, "{\"event\": \"result\", \"served\": %" PRIu64 ", \"connections\": %" PRIu64, farm->served,
             farm->accepted);
    text_add(&said, ", \"calls\": 0, \"calls_by_reason\": {}, \"refusals\": {");
    for (unsigned reason = 0; reason < REASONS; reason++)
        if (farm->refusals[reason] > 0) {
            text_add(&said, "%s\"%s\": %" PRIu64, separator, reason_name(reason), farm->refusals[reason]);
            separator = ", ";
        }
    text_add(&said, "}, \"power_switches\": %" PRIu64 ", \"terminals_on\": %" PRIu64, switches, on);
    text_add(&said, ", \"cpu_ns\": 0, \"max_lag_ns\": 0, \"p99_lag_ns\": 0, \"timers\": 0, \"maxrss_bytes\": 0}");
    uint64_t size = said.size;
    if (size < room && said.data != NULL) {
        memcpy(text, said.data, size);
        text[size] = 0;
    }
    text_free(&said);
    return size;
}
