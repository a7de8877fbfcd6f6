/* The callers of a farm's terminals: a table of their connections, and when each of those ends. */
#ifndef CALLERS_H
#define CALLERS_H

#include <stdbool.h>
#include <stdint.h>

#include "../session.h"

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

/* All zero at first. */
struct callers {
    struct connection *connections; /* a hash table, with linear probing */
    uint32_t slots, used;           /* a power of two, and how many of them */
    struct ending *endings;         /* a heap */
    uint32_t ending_count, ending_room;
};

/* Room for one more connection, and for its end; false when there is no memory.  Connections may move. */
bool callers_make_room(struct callers *callers);

/* Where that connection is, or would be: is_used says which. */
struct connection *callers_find(const struct callers *callers, uint32_t terminal, uint32_t address, uint16_t port);

/* A connection has been put where it was to be. */
void callers_note(struct callers *callers, const struct connection *connection);

/* Free what it holds, and its place; other connections may move. */
void callers_forget(struct callers *callers, struct connection *connection);

/* The first ending, of a connection that may be gone. */
struct ending callers_take_ending(struct callers *callers);

void callers_free(struct callers *callers);

#endif
