/* stdin, stdout and signals, none of which may ever block the farm.  As hostemu/retrieval/console.py. */
#ifndef CONSOLE_H
#define CONSOLE_H

#include <stdbool.h>
#include <stddef.h>

#include "json.h"
#include "reactor.h"
#include "text.h"

#define MAX_LINE_BYTES (1 << 16)
#define READ_BYTES (1 << 16)
#define LINE_BYTES 4096 /* of output that needs no memory when there is none */

struct console {
    struct reactor *reactor;
    void (*obey)(void *owner, struct json command); /* command: an object */
    void *owner;
    int signal_fd;
    bool is_waiting;  /* for the reader of stdout */
    struct text out;  /* lines that the reader has not taken yet */
    size_t out_taken; /* of these, bytes that it has taken */
    size_t in_bytes;
    char in[MAX_LINE_BYTES + READ_BYTES]; /* the beginning of a line */
};

/* SIGTERM and SIGINT stop the reactor from now on; false with errno.  The console is all zero before. */
bool console_open(struct console *console, struct reactor *reactor, void (*obey)(void *, struct json), void *owner);

/* Writes what is left, for two seconds at most. */
void console_close(struct console *console);

/* Takes commands and serves, until the input ends, a signal comes, or the reactor is stopped. */
void console_run(struct console *console);

/* Sends one line, unless the reader has left too many unread. */
void console_emit(struct console *console, const struct text *line);

#endif
