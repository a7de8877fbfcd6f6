#include "console.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define IN_FD 0
#define OUT_FD 1
#define MAX_UNREAD_BYTES (1 << 20) /* lines for a reader that does not read; later ones are dropped */
#define LAST_WORDS_NS 2000000000
#define NS_PER_MS 1000000
#define SHOWN_BYTES 80

static void on_signal(void *owner, uint32_t mask)
{
    (void)mask;
    reactor_stop(((struct console *)owner)->reactor);
}

bool console_open(struct console *console, struct reactor *reactor, void (*obey)(void *, struct json), void *owner)
{
    sigset_t ends;
    console->reactor = reactor;
    console->obey = obey;
    console->owner = owner;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, NULL);
    signal(SIGPIPE, SIG_IGN);
    console->signal_fd = signalfd(-1, &ends, SFD_NONBLOCK | SFD_CLOEXEC);
    return console->signal_fd >= 0 && text_reserve(&console->out, LINE_BYTES) &&
           reactor_watch(reactor, console->signal_fd, EPOLLIN, on_signal, console);
}

/* Output */

/* Writes one piece; false when the reader takes none within `timeout_ms`. */
static bool write_some(struct console *console, int timeout_ms)
{
    struct pollfd out = {.fd = OUT_FD, .events = POLLOUT};
    if (poll(&out, 1, timeout_ms) <= 0)
        return false;
    // A pipe that is writable takes PIPE_BUF bytes without blocking.
    size_t left = console->out.size - console->out_taken;
    ssize_t taken = write(OUT_FD, console->out.data + console->out_taken, left < PIPE_BUF ? left : PIPE_BUF);
    if (taken < 0) {
        reactor_stop(console->reactor); // nobody listens any more
        taken = left;
    }
    console->out_taken += taken;
    if (console->out_taken == console->out.size) {
        text_clear(&console->out, LINE_BYTES);
        console->out_taken = 0;
    }
    return true;
}

static void write_all(struct console *console);

static void on_reader(void *owner, uint32_t mask)
{
    (void)mask;
    write_all(owner);
}

static void write_all(struct console *console)
{
    while (console->out.size > 0 && write_some(console, 0))
        continue;
    bool is_needed = console->out.size > 0;
    if (is_needed && !console->is_waiting)
        is_needed = reactor_watch(console->reactor, OUT_FD, EPOLLOUT, on_reader, console);
    else if (!is_needed && console->is_waiting)
        reactor_unwatch(console->reactor, OUT_FD);
    console->is_waiting = is_needed;
}

void console_emit(struct console *console, const struct text *line)
{
    size_t unread = console->out.size - console->out_taken;
    if (!line->is_cut && unread + line->size + 1 <= MAX_UNREAD_BYTES) {
        if (console->out_taken > 0)
            memmove(console->out.data, console->out.data + console->out_taken, unread);
        console->out.size = unread;
        console->out_taken = 0;
        text_put(&console->out, line->data, line->size);
        text_put(&console->out, "\n", 1);
    }
    write_all(console);
}

void console_close(struct console *console)
{
    int64_t give_up_ns = monotonic_ns() + LAST_WORDS_NS;
    int64_t left_ns = LAST_WORDS_NS;
    while (console->out.size > 0 && write_some(console, left_ns / NS_PER_MS)) {
        left_ns = give_up_ns - monotonic_ns();
        left_ns = left_ns > 0 ? left_ns : 0;
    }
    text_free(&console->out);
    close(console->signal_fd);
}

/* Input */

static void no_command(const char *line, size_t size)
{
    fputs("not a command: b'", stderr);
    for (size_t i = 0; i < size && i < SHOWN_BYTES; i++) {
        bool is_plain = line[i] >= 0x20 && line[i] < 0x7f && line[i] != '\\' && line[i] != '\'';
        fprintf(stderr, is_plain ? "%c" : "\\x%02x", (unsigned char)line[i]);
    }
    fputs("'\n", stderr);
}

static void obey_line(struct console *console, const char *line, size_t size)
{
    struct json command;
    if (json_check(line, size, &command) && json_kind(command) == JSON_OBJECT)
        console->obey(console->owner, command);
    else if (command.at < line + size) // and not just white space
        no_command(line, size);
}

/* Obeys all whole lines and keeps the rest. */
static void obey_lines(struct console *console)
{
    char *line = console->in, *end = console->in + console->in_bytes, *newline;
    while ((newline = memchr(line, '\n', end - line)) != NULL) {
        obey_line(console, line, newline - line);
        line = newline + 1;
    }
    console->in_bytes = end - line;
    memmove(console->in, line, console->in_bytes);
    if (console->in_bytes > MAX_LINE_BYTES) {
        fprintf(stderr, "command of more than %d bytes: dropped\n", MAX_LINE_BYTES);
        console->in_bytes = 0;
    }
}

/* Reads a piece and obeys it; false at the end of the input. */
static bool read_some(struct console *console)
{
    ssize_t size = read(IN_FD, console->in + console->in_bytes, READ_BYTES);
    if (size <= 0)
        return false;
    console->in_bytes += size;
    obey_lines(console);
    return true;
}

static void on_input(void *owner, uint32_t mask)
{
    struct console *console = owner;
    (void)mask;
    if (!read_some(console))
        reactor_stop(console->reactor);
}

void console_run(struct console *console)
{
    if (reactor_watch(console->reactor, IN_FD, EPOLLIN, on_input, console)) {
        reactor_run(console->reactor);
        return;
    }
    // A plain file or /dev/null, which are always readable.
    while (read_some(console))
        continue;
    obey_line(console, console->in, console->in_bytes);
}
