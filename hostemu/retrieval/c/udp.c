/* Terminals over UDP: a socket each, and a session for every peer.  As terminal_udp.py.

   When off: no socket (the host says that the port is unreachable), or a deaf one. */

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "farm.h"

#define MAX_SESSIONS 64 /* exchanges that one terminal remembers; the oldest is forgotten first */

/* The exchange with one peer. */
struct peer_session {
    struct peer_session *next;
    int64_t expires_ns;
    union socket_address peer; /* zero behind what the family uses */
    struct session session;
};

static void forget_first(struct peer_session **at)
{
    struct peer_session *first = *at;
    *at = first->next;
    free(first);
}

static void forget_all(struct terminal *terminal)
{
    while (terminal->sessions != NULL)
        forget_first(&terminal->sessions);
}

/* Forgets the oldest exchange; if it was unfinished, `reason` is why. */
static void give_up_oldest(struct terminal *terminal, enum reason reason)
{
    struct farm *farm = terminal->farm;
    struct doing doing = session_broken(&terminal->sessions->session, reason, farm->frame);
    farm_count(farm, &doing); // and send nothing: the peer has long gone
    forget_first(&terminal->sessions);
}

/* Where the peer's exchange is in the list, or where it would be put: at the end. */
static struct peer_session **find(struct terminal *terminal, const union socket_address *peer)
{
    struct peer_session **at = &terminal->sessions;
    while (*at != NULL && memcmp(&(*at)->peer, peer, sizeof *peer) != 0)
        at = &(*at)->next;
    return at;
}

static int count_sessions(const struct terminal *terminal)
{
    int count = 0;
    for (const struct peer_session *session = terminal->sessions; session != NULL; session = session->next)
        count++;
    return count;
}

static struct peer_session *new_session(struct terminal *terminal, const union socket_address *peer)
{
    struct peer_session *session = calloc(1, sizeof *session);
    if (session == NULL || !farm_session(&session->session)) {
        free(session);
        return NULL;
    }
    session->peer = *peer;
    session->expires_ns = monotonic_ns() + terminal->farm->config.peer_timeout_ns;
    return session;
}

/* The peer's exchange, NULL without memory for it; message: NULL when the datagram was none.
   A Hello other than the one that began it begins the next, once it is over. */
static struct peer_session *session_of(struct terminal *terminal, const union socket_address *peer,
                                       const struct message *message)
{
    struct peer_session **at = find(terminal, peer);
    if (*at != NULL) {
        struct session *session = &(*at)->session;
        struct device device = device_of(terminal);
        bool is_next = message != NULL && message->type == MESSAGE_HELLO && session->state == SESSION_SERVED &&
                       !session_is_greeting(session, &device, message);
        if (!is_next)
            return *at;
        forget_first(at);
    }
    if (count_sessions(terminal) >= MAX_SESSIONS)
        give_up_oldest(terminal, REASON_LOCAL);
    struct peer_session *session = new_session(terminal, peer);
    if (session != NULL) {
        *find(terminal, peer) = session;
        terminal->farm->connections++;
    }
    return session;
}

static void answer(struct terminal *terminal, const union socket_address *peer, const struct message *message,
                   enum reason wrong)
{
    struct farm *farm = terminal->farm;
    struct peer_session *session = session_of(terminal, peer, message);
    if (session == NULL) {
        farm->refusals[REASON_LOCAL]++;
        return;
    }
    struct device device = device_of(terminal);
    struct doing doing = message == NULL ? session_broken(&session->session, wrong, farm->frame)
                                         : session_receive(&session->session, &device, message, farm->frame);
    if (doing.frame_bytes > 0) // lost like any datagram when it cannot be sent; the peer repeats its own
        sendto(terminal->fd, farm->frame, doing.frame_bytes, 0, &peer->any,
               peer->any.sa_family == AF_INET ? sizeof peer->v4 : sizeof peer->v6);
    farm_count(farm, &doing);
    if (session->session.state == SESSION_CLOSED)
        forget_first(find(terminal, peer));
}

static void receive(void *owner, uint32_t mask)
{
    struct terminal *terminal = owner;
    struct farm *farm = terminal->farm;
    union socket_address peer = {0};
    socklen_t peer_bytes = sizeof peer;
    struct message message;
    (void)mask;
    ssize_t size = recvfrom(terminal->fd, farm->received, sizeof farm->received, 0, &peer.any, &peer_bytes);
    if (size < 0)
        return;
    enum reason wrong = wire_datagram((struct bytes){farm->received, size}, &message);
    answer(terminal, &peer, wrong == REASON_NONE ? &message : NULL, wrong);
}

static bool listen_to_peers(struct terminal *terminal)
{
    terminal->fd = terminal_bind(terminal, SOCK_DGRAM);
    return terminal->fd >= 0 && reactor_watch(terminal->farm->reactor, terminal->fd, EPOLLIN, receive, terminal);
}

static void udp_close(struct terminal *terminal)
{
    forget_all(terminal);
    if (terminal->fd >= 0) {
        reactor_forget(terminal->farm->reactor, terminal->fd);
        close(terminal->fd);
        terminal->fd = -1;
    }
}

/* Drops what came before the terminal went off and was not read. */
static void discard_queue(int fd)
{
    char first;
    while (recv(fd, &first, sizeof first, 0) > 0)
        continue;
}

static bool udp_switch(struct terminal *terminal, bool is_on)
{
    terminal->is_on = is_on;
    forget_all(terminal);
    if (!terminal->farm->config.is_silent_when_off && !is_on) {
        udp_close(terminal);
        return true;
    }
    if (terminal->fd < 0 && !listen_to_peers(terminal))
        return false;
    if (is_on) {
        undeafen(terminal->fd);
        return true;
    }
    if (!terminal_deafen(terminal, terminal->fd))
        return false;
    discard_queue(terminal->fd);
    return true;
}

static void udp_expire(struct terminal *terminal, int64_t now_ns)
{
    while (terminal->sessions != NULL && terminal->sessions->expires_ns <= now_ns)
        give_up_oldest(terminal, REASON_TIMEOUT);
}

const struct transport_calls UDP_CALLS = {udp_switch, udp_expire, udp_close};
