/* A farm of terminals: what hostemu/retrieval/terminals.py and terminal.py do. */
#ifndef FARM_H
#define FARM_H

#include <stdbool.h>
#include <stdint.h>

#include "config.h"
#include "cut_off.h"
#include "power.h"
#include "reactor.h"
#include "session.h"
#include "sockets.h"
#include "text.h"

struct farm;
struct connection;   /* tcp.c */
struct peer_session; /* udp.c */
struct call;         /* calls.c */

/* One terminal.  Thousands of them live in a guest of 32 MB: whatever can be derived is not here. */
struct terminal {
    struct timer timer; /* of its next change of power; first, so that one is the other */
    struct farm *farm;
    struct power_cycle power;
    struct nonce_memory *nonces;
    union {
        struct connection *connections; /* the oldest first */
        struct peer_session *sessions;  /* the oldest first, hence in the order in which they expire */
        struct call *call;              /* under way, or to come; NULL: none */
    };
    struct cut_off *cut_off; /* connections that nobody serves any more, but that must not answer either */
    int fd;                  /* where it listens, -1 when nowhere */
    uint32_t attempts;       /* calls made */
    bool is_on, is_told;     /* told of its first state */
    bool is_done;            /* has no reason to call any more */
};

/* How terminals meet their callers, or call. */
struct transport_calls {
    /* Be on or off from now on; false with errno when the address cannot be had. */
    bool (*switch_power)(struct terminal *terminal, bool is_on);
    /* Forget what peers have left unfinished. */
    void (*expire)(struct terminal *terminal, int64_t now_ns);
    /* Close every socket. */
    void (*close)(struct terminal *terminal);
};

extern const struct transport_calls TCP_CALLS, UDP_CALLS, CALLING_CALLS;

struct farm {
    struct reactor *reactor;
    struct farm_config config;
    struct power_plan power;
    const struct transport_calls *calls;
    struct terminal *terminals;
    uint64_t terminal_count;
    int64_t start_ns;
    struct timer sweep;
    int filter;   /* shared by sockets of terminals that are off silently; -1 when there is none */
    int spare_fd; /* to turn callers away when there are no more descriptors; -1 when in use */

    uint64_t served, connections, calls_made, power_switches;
    uint64_t refusals[REASONS], calls_by_reason[REASONS];
    struct failure failure; /* that stopped the reactor */

    uint8_t received[WHOLE_FRAME_BYTES + 1]; /* one more, by which to see that a datagram is too long */
    uint8_t frame[WHOLE_FRAME_BYTES];        /* the one that is being made */
};

/* All terminals, in the state of time 0; the farm is all zero before.  On false all is closed, and the failure says
   why. */
bool farm_open(struct farm *farm, const struct farm_config *config, struct reactor *reactor, struct failure *failure);
void farm_close(struct farm *farm);

/* Time 0 of all power cycles. */
void farm_start(struct farm *farm, int64_t at_ns);

/* The counters, as members of a JSON object with a comma in front. */
void farm_counters(const struct farm *farm, struct text *text);

/* For the transports. */
struct device device_of(struct terminal *terminal);
uint64_t terminal_index(const struct terminal *terminal); /* in the fleet */
struct address terminal_address(const struct terminal *terminal);
int terminal_bind(struct terminal *terminal, int kind); /* -1 with errno */
bool terminal_deafen(const struct terminal *terminal, int fd); /* false with errno */
bool farm_session(struct session *session); /* Begins one; false when there is no randomness. */
void farm_count(struct farm *farm, const struct doing *doing);
void farm_turn_away(struct farm *farm, int listener);

#endif
