/* The wire format, as hostemu/protocol/wire.py documents it: reads every message, writes those of a terminal. */
#ifndef WIRE_H
#define WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "reasons.h"

#define LENGTH_BYTES 2 /* the field in front of every frame */
#define MAX_FRAME_BYTES (16 * 1024)
#define WHOLE_FRAME_BYTES (LENGTH_BYTES + MAX_FRAME_BYTES)
#define NONCE_BYTES 16

enum message_type {
    MESSAGE_HELLO = 1,
    MESSAGE_CHALLENGE = 2,
    MESSAGE_REQUEST = 3,
    MESSAGE_INFORMATION = 4,
    MESSAGE_REFUSAL = 5,
    MESSAGE_CALL = 6,
    MESSAGE_RECEIPT = 7,
    MESSAGE_COMMAND = 16,
    MESSAGE_START = 17,
    MESSAGE_REPORT = 18,
    MESSAGE_DONE = 19,
    MESSAGE_TYPES = 20, /* greater than every type */
};

/* What a terminal cares for in a message; a field that the message does not have is zero. */
struct message {
    enum message_type type;
    uint64_t device_id;  /* HELLO */
    struct bytes nonce;  /* HELLO */
    struct bytes proof;  /* REQUEST, RECEIPT */
    enum reason reason;  /* REFUSAL */
};

/* The message of exactly one frame with its length field; REASON_NONE, or why it is none. */
enum reason wire_datagram(struct bytes datagram, struct message *message);

/* A byte stream that is being cut into frames; all zero at first.  Holds less than one frame between calls. */
struct frame_reader {
    uint8_t *rest; /* the beginning of a frame, on the heap */
    uint32_t rest_bytes;
    enum reason error; /* what was no message, then and ever after */
};

/* Whole frames that have come in. */
struct frames {
    struct bytes left;
    uint8_t *held; /* what of it is on the heap */
};

/* The frames that `data` completes.  REASON_NONE when all of them are messages, else why not, and there are none:
   as in Python, nothing that came in together with rubbish is obeyed.  REASON_LOCAL when there is no memory.
   The reader may be freed while the frames are in use; the frames are to be closed. */
enum reason frames_open(struct frames *frames, struct frame_reader *reader, struct bytes data);
bool frames_next(struct frames *frames, struct message *message);
void frames_close(struct frames *frames);

void frame_reader_free(struct frame_reader *reader);

/* Each writes one frame and returns its size, length field included. */
size_t wire_refusal(uint8_t *frame, enum reason reason);
size_t wire_call(uint8_t *frame, uint64_t device_id, uint32_t attempt);
size_t wire_challenge(uint8_t *frame, const uint8_t nonce[NONCE_BYTES], struct bytes proof);

/* In two steps, for the seal is made in place: its bytes go to frame + SEALED_AT. */
#define SEALED_AT 6
size_t wire_information(uint8_t *frame, size_t sealed_bytes, struct bytes proof);

#endif
