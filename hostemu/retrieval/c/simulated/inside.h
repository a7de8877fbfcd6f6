/* What the parts of a simulated farm share. */
#ifndef INSIDE_H
#define INSIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "../config.h"
#include "callers.h"
#include "frames.h"
#include "simulated.h"

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

    struct callers callers;

    uint64_t served, accepted, refusals[REASONS];
    uint8_t answer[WHOLE_FRAME_BYTES];
};

/* One segment on its way through the farm, and what it makes the farm say. */
struct arrival {
    struct simulated *farm;
    int64_t now_ns;
    struct segment in;
    uint32_t terminal;
    uint8_t *said;
    int64_t said_bytes;
};

/* Whether a terminal is on; time of the emulator, in order. */
bool terminal_is_on(struct simulated *farm, uint32_t terminal, int64_t now_ns);

/* conversation.c: a segment has come; a connection has come to its end. */
void on_segment(struct arrival *arrival);
void on_ending(struct arrival *arrival, struct ending ending);

#endif
