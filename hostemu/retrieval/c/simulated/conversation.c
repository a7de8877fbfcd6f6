/* Segments to simulated terminals, and what those say. */
#include <stdlib.h>
#include <string.h>

#include "../streams.h"
#include "inside.h"

#define MAX_SEGMENT 1460
#define DEFAULT_SEGMENT 536 /* RFC 9293, 3.7.1 */
#define WINDOW 65535

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
    callers_forget(&arrival->farm->callers, connection);
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
    callers_note(&farm->callers, connection);
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

void on_segment(struct arrival *arrival)
{
    struct simulated *farm = arrival->farm;
    const struct segment *in = &arrival->in;
    arrival->terminal = in->target - farm->first_address;
    bool is_ours = arrival->terminal < farm->config.count && in->target_port == farm->config.port;
    if (!is_ours || !terminal_is_on(farm, arrival->terminal, arrival->now_ns)) {
        if (!is_ours || !farm->config.is_silent_when_off)
            reset_caller(arrival);
        return;
    }
    if (!callers_make_room(&farm->callers)) {
        farm->refusals[REASON_LOCAL]++;
        reset_caller(arrival);
        return;
    }
    struct connection *connection = callers_find(&farm->callers, arrival->terminal, in->source, in->source_port);
    if (connection->is_used)
        on_connection(arrival, connection);
    else if ((in->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
        accept_caller(arrival, connection);
    else
        reset_caller(arrival);
}

void on_ending(struct arrival *arrival, struct ending ending)
{
    struct simulated *farm = arrival->farm;
    struct connection *connection =
        callers_find(&farm->callers, ending.terminal, ending.peer_address, ending.peer_port);
    if (!connection->is_used || connection->ends_ns != ending.at_ns)
        return; // it has ended before
    bool is_on = terminal_is_on(farm, ending.terminal, arrival->now_ns);
    if (is_on || !farm->config.is_silent_when_off) {
        struct segment out = from_connection(farm, connection);
        out.flags = TCP_RST | TCP_ACK;
        send_segment(arrival, out);
    }
    if (is_on)
        give_up(arrival, connection, REASON_TIMEOUT);
    else // as the farm program, which does not count these
        callers_forget(&farm->callers, connection);
}
