/* What is sent over a connection, and waits where the peer does not take it.  As hostemu/retrieval/link.py. */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "reactor.h"

struct link {
    int fd;
    bool is_starved; /* there was no memory for what the peer does not take */
    bool shuts;      /* no more will come */
    uint32_t unread_bytes;
    uint8_t *unread; /* what the peer has not taken yet, on the heap */
};

/* Transmits, or keeps until the peer takes it.  A failure shows on the reading side. */
void link_send(struct link *link, struct reactor *reactor, const uint8_t *data, size_t size);

/* The peer takes something again. */
void link_flush(struct link *link, struct reactor *reactor);

/* Says that no more will come, once everything has been sent. */
void link_shut(struct link *link);

/* What it holds is gone; the descriptor stays open. */
void link_free(struct link *link);

#endif
