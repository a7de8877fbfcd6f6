/* Terminals over TCP: a listening socket each, and a connection for every caller.  As terminal_tcp.py and link.py.

   When off: no listening socket (the host refuses), or one to which the kernel hands nothing (silence). */

#define _GNU_SOURCE // accept4

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "farm.h"
#include "link.h"

#define ACCEPT_BACKLOG 32
#define MAX_CONNECTIONS 32             /* open ones of a terminal; the oldest is given up for a new one */
#define MAX_UNREAD_BYTES (64 * 1024)   /* what a peer may leave unread before it is given up */
#define MAX_QUEUED (ACCEPT_BACKLOG + 1) /* connections that the kernel makes before any is accepted */

/* A caller's connection, and the exchange on it. */
struct connection {
    struct timer timer; /* first, so that one is the other */
    struct connection *next;
    struct terminal *terminal;
    struct frame_reader reader;
    struct link link; /* it shuts once the exchange is refused; what else the peer sends is discarded */
    struct session session;
};

/* What it holds is gone; the descriptor stays open. */
static void connection_free(struct connection *connection)
{
    struct connection **at = &connection->terminal->connections;
    while (*at != connection)
        at = &(*at)->next;
    *at = connection->next;
    reactor_cancel(connection->terminal->farm->reactor, &connection->timer);
    frame_reader_free(&connection->reader);
    link_free(&connection->link);
    free(connection);
}

static void connection_close(struct connection *connection)
{
    int fd = connection->link.fd;
    reactor_forget(connection->terminal->farm->reactor, fd);
    connection_free(connection);
    reset(fd);
}

static void act(struct connection *connection, struct doing doing)
{
    struct farm *farm = connection->terminal->farm;
    if (doing.frame_bytes > 0)
        link_send(&connection->link, farm->reactor, farm->frame, doing.frame_bytes);
    farm_count(farm, &doing);
    if (doing.refused != REASON_NONE)
        link_shut(&connection->link); // the caller has until the time-out to read the refusal
}

/* Refuses what is unfinished, and closes. */
static void give_up(struct connection *connection, enum reason reason)
{
    act(connection, session_broken(&connection->session, reason, connection->terminal->farm->frame));
    connection_close(connection);
}

static void timed_out(struct timer *timer)
{
    give_up((struct connection *)timer, REASON_TIMEOUT);
}

/* Gives a peer up that takes nothing.  Returns whether it is still there. */
static bool takes_answers(struct connection *connection)
{
    if (!connection->link.is_starved && connection->link.unread_bytes <= MAX_UNREAD_BYTES)
        return true;
    give_up(connection, connection->link.is_starved ? REASON_LOCAL : REASON_TIMEOUT);
    return false;
}

static void connection_received(struct connection *connection, struct bytes data)
{
    uint8_t *frame = connection->terminal->farm->frame;
    struct frames frames;
    struct message message;
    if (connection->link.shuts)
        return;
    enum reason wrong = frames_open(&frames, &connection->reader, data);
    if (wrong != REASON_NONE) {
        act(connection, session_broken(&connection->session, wrong, frame));
        return;
    }
    struct device device = device_of(connection->terminal);
    while (frames_next(&frames, &message)) {
        act(connection, session_receive(&connection->session, &device, &message, frame));
        if (!takes_answers(connection))
            break;
    }
    frames_close(&frames);
}

static void connection_read(struct connection *connection)
{
    struct farm *farm = connection->terminal->farm;
    ssize_t size = recv(connection->link.fd, farm->received, RECEIVE_BYTES, 0);
    if (size > 0)
        connection_received(connection, (struct bytes){farm->received, size});
    else if (size == 0)
        give_up(connection, connection->reader.rest != NULL ? REASON_TRUNCATED : REASON_RESET);
    else if (errno != EAGAIN)
        give_up(connection, reason_of(errno));
}

static void connection_ready(void *owner, uint32_t mask)
{
    struct connection *connection = owner;
    if (mask & EPOLLOUT && connection->link.unread_bytes > 0)
        link_flush(&connection->link, connection->terminal->farm->reactor);
    if (mask & ~EPOLLOUT)
        connection_read(connection);
}

static struct connection *new_connection(struct terminal *terminal, int fd)
{
    struct reactor *reactor = terminal->farm->reactor;
    struct connection *connection = calloc(1, sizeof *connection);
    if (connection == NULL || !farm_session(&connection->session) ||
        !reactor_call_at(reactor, &connection->timer, monotonic_ns() + terminal->farm->config.peer_timeout_ns,
                         timed_out)) {
        free(connection);
        return NULL;
    }
    if (!reactor_watch(reactor, fd, EPOLLIN, connection_ready, connection)) {
        reactor_cancel(reactor, &connection->timer);
        free(connection);
        return NULL;
    }
    connection->terminal = terminal;
    connection->link.fd = fd;
    return connection;
}

/* Where the next connection goes, once there is room. */
static struct connection **end_of_connections(struct terminal *terminal)
{
    int count = 0;
    struct connection **end = &terminal->connections;
    for (; *end != NULL; end = &(*end)->next)
        count++;
    if (count < MAX_CONNECTIONS)
        return end;
    give_up(terminal->connections, REASON_LOCAL);
    return end_of_connections(terminal);
}

static void accept_caller(void *owner, uint32_t mask)
{
    struct terminal *terminal = owner;
    struct farm *farm = terminal->farm;
    (void)mask;
    int fd = accept4(terminal->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (is_shortage(errno))
            farm_turn_away(farm, terminal->fd);
        return;
    }
    struct connection **end = end_of_connections(terminal);
    *end = new_connection(terminal, fd);
    if (*end != NULL) {
        farm->connections++;
    } else {
        reset(fd);
        farm->refusals[REASON_LOCAL]++;
    }
}

static bool start_listening(struct terminal *terminal, bool is_deaf)
{
    int fd = terminal->fd = terminal_bind(terminal, SOCK_STREAM);
    return fd >= 0 && (!is_deaf || terminal_deafen(terminal, fd)) && listen(fd, ACCEPT_BACKLOG) == 0 &&
           reactor_watch(terminal->farm->reactor, fd, EPOLLIN, accept_caller, terminal);
}

/* Cuts off connections that the kernel has made, and nobody has accepted. */
static void cut_off_queued(struct terminal *terminal)
{
    for (int left = MAX_QUEUED; left > 0; left--) {
        int fd = accept4(terminal->fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd < 0)
            return;
        cut_off_add(&terminal->cut_off, fd);
    }
}

/* First the listener goes deaf, so that no connection can be added while the others follow. */
static bool fall_silent(struct terminal *terminal)
{
    if (!terminal_deafen(terminal, terminal->fd))
        return false;
    while (terminal->connections != NULL) {
        int fd = terminal->connections->link.fd;
        reactor_unwatch(terminal->farm->reactor, fd);
        connection_free(terminal->connections);
        cut_off_add(&terminal->cut_off, fd);
    }
    cut_off_queued(terminal);
    return cut_off_deafen(terminal->cut_off, terminal->farm->filter);
}

/* Connections from before the off time are unknown to a terminal that has just started. */
static void wake(struct terminal *terminal)
{
    cut_off_queued(terminal);
    cut_off_reset(&terminal->cut_off);
    undeafen(terminal->fd);
}

static void tcp_close(struct terminal *terminal)
{
    while (terminal->connections != NULL)
        connection_close(terminal->connections);
    cut_off_reset(&terminal->cut_off);
    if (terminal->fd >= 0) {
        reactor_forget(terminal->farm->reactor, terminal->fd);
        close(terminal->fd);
        terminal->fd = -1;
    }
}

static bool tcp_switch(struct terminal *terminal, bool is_on)
{
    terminal->is_on = is_on;
    if (!terminal->farm->config.is_silent_when_off) {
        if (is_on)
            return start_listening(terminal, false);
        tcp_close(terminal);
        return true;
    }
    if (terminal->fd < 0)
        return start_listening(terminal, !is_on);
    if (!is_on)
        return fall_silent(terminal);
    wake(terminal);
    return true;
}

static void tcp_expire(struct terminal *terminal, int64_t now_ns)
{
    (void)terminal;
    (void)now_ns; // every connection has a timer of its own
}

const struct transport_calls TCP_CALLS = {tcp_switch, tcp_expire, tcp_close};
