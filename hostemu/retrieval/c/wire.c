#include "wire.h"

#include <stdlib.h>
#include <string.h>

#define VERSION 1
#define OUTCOMES 3 /* hostemu/protocol/reasons.py */

/* Reads the fields of one body.  What does not fit sets is_bad, and reads as zero from then on. */
struct cursor {
    const uint8_t *at, *end;
    bool is_bad;
};

static struct bytes take(struct cursor *cursor, size_t count)
{
    if ((size_t)(cursor->end - cursor->at) < count) {
        cursor->is_bad = true;
        cursor->at = cursor->end;
        return (struct bytes){0};
    }
    cursor->at += count;
    return (struct bytes){cursor->at - count, count};
}

static uint64_t number(struct cursor *cursor, size_t octets)
{
    struct bytes piece = take(cursor, octets);
    uint64_t value = 0;
    for (size_t i = 0; i < piece.size; i++)
        value = value << 8 | piece.data[i];
    return value;
}

static struct bytes string(struct cursor *cursor)
{
    return take(cursor, number(cursor, 2));
}

static void require(struct cursor *cursor, bool is_met)
{
    cursor->is_bad |= !is_met;
}

static void read_hello(struct cursor *c, struct message *message)
{
    message->device_id = number(c, 8);
    message->nonce = string(c);
}

static void read_two_strings(struct cursor *c, struct message *message)
{
    (void)message;
    string(c);
    string(c);
}

static void read_call(struct cursor *c, struct message *message)
{
    (void)message;
    take(c, 8 + 4); // device ID and number of the call
}

static void read_proof(struct cursor *c, struct message *message)
{
    message->proof = string(c);
}

static void read_refusal(struct cursor *c, struct message *message)
{
    message->reason = number(c, 1);
    require(c, message->reason != REASON_NONE && reason_name(message->reason) != NULL);
}

static void read_command(struct cursor *c, struct message *message)
{
    (void)message;
    for (uint64_t left = number(c, 2); left > 0 && !c->is_bad; left--) {
        take(c, 8 + 2); // device ID and port
        struct bytes address = string(c);
        require(c, address.size == 4 || address.size == 16);
    }
}

static void read_total(struct cursor *c, struct message *message)
{
    (void)message;
    take(c, 8);
}

static void read_report(struct cursor *c, struct message *message)
{
    (void)message;
    take(c, 8); // device ID
    require(c, number(c, 1) < OUTCOMES);
    require(c, reason_name(number(c, 1)) != NULL);
    take(c, 4 + 8); // attempts and duration
    string(c);
    string(c);
}

typedef void parser(struct cursor *cursor, struct message *message);

static parser *const PARSERS[MESSAGE_TYPES] = {
    [MESSAGE_HELLO] = read_hello,
    [MESSAGE_CHALLENGE] = read_two_strings,
    [MESSAGE_REQUEST] = read_proof,
    [MESSAGE_INFORMATION] = read_two_strings,
    [MESSAGE_REFUSAL] = read_refusal,
    [MESSAGE_CALL] = read_call,
    [MESSAGE_RECEIPT] = read_proof,
    [MESSAGE_COMMAND] = read_command,
    [MESSAGE_START] = read_total,
    [MESSAGE_REPORT] = read_report,
    [MESSAGE_DONE] = read_total,
};

/* The message of a frame without its length field. */
static enum reason decode(struct bytes frame, struct message *message)
{
    if (frame.size < 2 || frame.data[0] != VERSION)
        return REASON_MALFORMED;
    unsigned type = frame.data[1];
    parser *parse = type < MESSAGE_TYPES ? PARSERS[type] : NULL;
    if (parse == NULL)
        return REASON_MALFORMED;
    struct cursor cursor = {frame.data + 2, frame.data + frame.size, false};
    *message = (struct message){.type = type};
    parse(&cursor, message);
    return cursor.is_bad || cursor.at != cursor.end ? REASON_MALFORMED : REASON_NONE;
}

static size_t length_field(const uint8_t *at)
{
    return (size_t)at[0] << 8 | at[1];
}

enum reason wire_datagram(struct bytes datagram, struct message *message)
{
    if (datagram.size < LENGTH_BYTES)
        return REASON_TRUNCATED;
    size_t length = length_field(datagram.data);
    size_t follows = datagram.size - LENGTH_BYTES;
    if (length > MAX_FRAME_BYTES)
        return REASON_OVERSIZED;
    if (length != follows)
        return length > follows ? REASON_TRUNCATED : REASON_MALFORMED;
    return decode((struct bytes){datagram.data + LENGTH_BYTES, length}, message);
}

/* How much of a stream's beginning is whole frames, and whether all of them are messages. */
static enum reason checked(struct bytes stream, size_t *whole_bytes)
{
    struct message message;
    size_t at = 0;
    while (stream.size - at >= LENGTH_BYTES) {
        size_t length = length_field(stream.data + at);
        if (length > MAX_FRAME_BYTES)
            return REASON_OVERSIZED;
        if (length > stream.size - at - LENGTH_BYTES)
            break;
        enum reason reason = decode((struct bytes){stream.data + at + LENGTH_BYTES, length}, &message);
        if (reason != REASON_NONE)
            return reason;
        at += LENGTH_BYTES + length;
    }
    *whole_bytes = at;
    return REASON_NONE;
}

/* Puts `data` behind the reader's rest; NULL when there is no memory. */
static uint8_t *joined(struct frame_reader *reader, struct bytes data)
{
    uint8_t *all = realloc(reader->rest, reader->rest_bytes + data.size);
    if (all != NULL) {
        memcpy(all + reader->rest_bytes, data.data, data.size);
        reader->rest = all;
        reader->rest_bytes += data.size;
    }
    return all;
}

static enum reason failed(struct frame_reader *reader, enum reason reason)
{
    frame_reader_free(reader);
    reader->error = reason;
    return reason;
}

/* The reader keeps what comes behind the whole frames. */
static bool keep(struct frame_reader *reader, struct bytes rest)
{
    reader->rest = NULL;
    reader->rest_bytes = rest.size;
    if (rest.size > 0)
        reader->rest = malloc(rest.size);
    if (reader->rest != NULL)
        memcpy(reader->rest, rest.data, rest.size);
    return rest.size == 0 || reader->rest != NULL;
}

enum reason frames_open(struct frames *frames, struct frame_reader *reader, struct bytes data)
{
    *frames = (struct frames){0};
    if (reader->error != REASON_NONE)
        return reader->error;
    struct bytes all = data;
    if (reader->rest != NULL) {
        if (joined(reader, data) == NULL)
            return failed(reader, REASON_LOCAL);
        all = (struct bytes){reader->rest, reader->rest_bytes};
    }
    size_t whole_bytes = 0;
    enum reason reason = checked(all, &whole_bytes);
    if (reason != REASON_NONE)
        return failed(reader, reason);
    if (whole_bytes == 0 && reader->rest != NULL)
        return REASON_NONE; // it is joined already
    frames->held = reader->rest;
    frames->left = (struct bytes){all.data, whole_bytes};
    if (!keep(reader, (struct bytes){all.data + whole_bytes, all.size - whole_bytes})) {
        frames_close(frames);
        return failed(reader, REASON_LOCAL);
    }
    return REASON_NONE;
}

bool frames_next(struct frames *frames, struct message *message)
{
    if (frames->left.size == 0)
        return false;
    size_t length = length_field(frames->left.data);
    decode((struct bytes){frames->left.data + LENGTH_BYTES, length}, message); // checked when opened
    frames->left.data += LENGTH_BYTES + length;
    frames->left.size -= LENGTH_BYTES + length;
    return true;
}

void frames_close(struct frames *frames)
{
    free(frames->held);
    *frames = (struct frames){0};
}

void frame_reader_free(struct frame_reader *reader)
{
    free(reader->rest);
    reader->rest = NULL;
    reader->rest_bytes = 0;
}

/* Completes a frame whose body ends at `end`. */
static size_t finish(uint8_t *frame, enum message_type type, const uint8_t *end)
{
    size_t size = end - frame;
    put_u16(frame, size - LENGTH_BYTES);
    frame[2] = VERSION;
    frame[3] = type;
    return size;
}

static uint8_t *put_string(uint8_t *to, const uint8_t *data, size_t size)
{
    put_u16(to, size);
    if (size > 0)
        memcpy(to + 2, data, size);
    return to + 2 + size;
}

size_t wire_refusal(uint8_t *frame, enum reason reason)
{
    frame[4] = reason;
    return finish(frame, MESSAGE_REFUSAL, frame + 5);
}

size_t wire_call(uint8_t *frame, uint64_t device_id, uint32_t attempt)
{
    put_u64(frame + 4, device_id);
    put_u32(frame + 12, attempt);
    return finish(frame, MESSAGE_CALL, frame + 16);
}

size_t wire_challenge(uint8_t *frame, const uint8_t nonce[NONCE_BYTES], struct bytes proof)
{
    uint8_t *at = put_string(frame + 4, nonce, NONCE_BYTES);
    return finish(frame, MESSAGE_CHALLENGE, put_string(at, proof.data, proof.size));
}

size_t wire_information(uint8_t *frame, size_t sealed_bytes, struct bytes proof)
{
    put_u16(frame + 4, sealed_bytes);
    return finish(frame, MESSAGE_INFORMATION, put_string(frame + SEALED_AT + sealed_bytes, proof.data, proof.size));
}
