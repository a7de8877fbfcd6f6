/* The terminal's side of one exchange: the state machine of hostemu/protocol/terminal.py.  No I/O, no randomness. */
#ifndef SESSION_H
#define SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "auth.h"
#include "reasons.h"
#include "wire.h"

/* The challenges that a terminal has lately been given; one that comes again is a replay.  Grows as it fills. */
#define NONCES_REMEMBERED 64
struct nonce_memory {
    uint8_t count, room, oldest;
    uint8_t nonces[][NONCE_BYTES];
};

/* What all terminals of a farm have in common. */
struct fleet {
    const struct scheme *scheme;
    struct hmac_key shared_secret;
    struct hmac_key own_secret;
    uint32_t information_bytes;
};

/* Who has the exchange.  Keys and information are made from this when they are needed, and not kept. */
struct device {
    const struct fleet *fleet;
    uint64_t id;
    struct nonce_memory **memory; /* NULL in it until the first challenge; on the heap */
};

enum session_state { SESSION_LISTENING, SESSION_CHALLENGED, SESSION_SERVED, SESSION_CLOSED, SESSION_STATES };

struct session {
    uint8_t state; /* enum session_state */
    struct nonces nonces; /* that of the ISP server is zero until it comes */
};

/* What to do about something that happened, in this order. */
struct doing {
    size_t frame_bytes; /* 0: send nothing */
    bool is_served;     /* the information was handed over */
    bool is_delivered;  /* the ISP server has said that it has it */
    enum reason refused; /* close once all is sent; REASON_NONE when not refused */
};

/* Listening; the terminal's nonce is NONCE_BYTES of randomness, used once. */
void session_begin(struct session *session, const uint8_t terminal_nonce[NONCE_BYTES]);

/* The terminal has called its ISP server, the `attempt`th time: it says who it is. */
struct doing session_call(const struct device *device, uint32_t attempt, uint8_t *frame);

/* A message of the ISP server.  frame: room for WHOLE_FRAME_BYTES, where the answer is put. */
struct doing session_receive(struct session *session, const struct device *device, const struct message *message,
                             uint8_t *frame);

/* The peer sent no message (what wire.h says) or left (RESET, TRUNCATED), or the time is over. */
struct doing session_broken(struct session *session, enum reason reason, uint8_t *frame);

/* Whether this Hello is the one that the session has answered. */
bool session_is_greeting(const struct session *session, const struct device *device, const struct message *hello);

/* What device `device_id` hands over: exactly `size` bytes. */
void information_of(uint64_t device_id, uint8_t *information, size_t size);

#endif
