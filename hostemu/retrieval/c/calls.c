/* Terminals that call their ISP server at their wake-ups, and do not listen.  As terminal_calls.py and
   hostemu/protocol/calling.py.

   When off: no socket, or (silent) that of a call that was cut off, to which the kernel hands nothing. */

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "farm.h"
#include "link.h"

enum call_state { CALL_WAITING, CALL_CONNECTING, CALL_TALKING };

/* A terminal's call, or the pause before its next one; there is none while it is off, or has no reason to call. */
struct call {
    struct timer timer; /* first, so that one is the other */
    struct terminal *terminal;
    struct link link;
    struct frame_reader reader;
    struct session session;
    uint8_t state; /* enum call_state */
};

static void begin(struct timer *timer);

static struct reactor *reactor_of(const struct call *call)
{
    return call->terminal->farm->reactor;
}

static bool is_for_ever(enum reason reason)
{
    return reason == REASON_WRONG_KEY || reason == REASON_UNKNOWN_DEVICE;
}

/* Whatever the call holds is gone; its descriptor stays open. */
static void let_go(struct call *call)
{
    reactor_cancel(reactor_of(call), &call->timer);
    frame_reader_free(&call->reader);
    link_free(&call->link);
}

static void hang_up(struct call *call)
{
    if (call->state == CALL_WAITING)
        return;
    reactor_forget(reactor_of(call), call->link.fd);
    reset(call->link.fd);
}

static void call_free(struct call *call)
{
    call->terminal->call = NULL;
    free(call);
}

/* The call is over: REASON_NONE when it was delivered. */
static void ended(struct call *call, enum reason reason)
{
    struct terminal *terminal = call->terminal;
    const struct home *home = &terminal->farm->config.home;
    hang_up(call);
    let_go(call);
    call->state = CALL_WAITING;
    terminal->farm->calls_by_reason[reason]++;
    terminal->is_done = reason == REASON_NONE || is_for_ever(reason) || terminal->attempts >= home->max_attempts;
    if (terminal->is_done ||
        !reactor_call_at(reactor_of(call), &call->timer, monotonic_ns() + home->interval_ns, begin))
        call_free(call); // without memory for a timer the next wake-up is soon enough
}

static void timed_out(struct timer *timer)
{
    struct call *call = (struct call *)timer;
    ended(call, call->state == CALL_CONNECTING ? REASON_SILENT : REASON_TIMEOUT);
}

/* Does what the session wants; whether the call goes on. */
static bool act(struct call *call, struct doing doing)
{
    struct farm *farm = call->terminal->farm;
    if (doing.frame_bytes > 0)
        link_send(&call->link, farm->reactor, farm->frame, doing.frame_bytes);
    farm_count(farm, &doing);
    if (doing.is_delivered)
        ended(call, REASON_NONE);
    else if (doing.refused != REASON_NONE)
        ended(call, doing.refused);
    else if (call->link.is_starved)
        ended(call, REASON_LOCAL);
    else
        return true;
    return false;
}

static void received(struct call *call, struct bytes data)
{
    struct frames frames;
    struct message message;
    struct device device = device_of(call->terminal);
    uint8_t *frame = call->terminal->farm->frame;
    enum reason wrong = frames_open(&frames, &call->reader, data);
    if (wrong != REASON_NONE) {
        ended(call, wrong);
        return;
    }
    while (frames_next(&frames, &message))
        if (!act(call, session_receive(&call->session, &device, &message, frame)))
            break;
    frames_close(&frames);
}

static void read_answer(struct call *call)
{
    struct farm *farm = call->terminal->farm;
    ssize_t size = recv(call->link.fd, farm->received, RECEIVE_BYTES, 0);
    if (size > 0)
        received(call, (struct bytes){farm->received, size});
    else if (size == 0)
        ended(call, REASON_RESET);
    else if (errno != EAGAIN)
        ended(call, reason_of(errno));
}

static void connected(struct call *call)
{
    struct farm *farm = call->terminal->farm;
    struct device device = device_of(call->terminal);
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(call->link.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        ended(call, reason_of(error));
        return;
    }
    call->state = CALL_TALKING;
    farm->connections++;
    reactor_modify(farm->reactor, call->link.fd, EPOLLIN);
    reactor_call_at(farm->reactor, &call->timer, monotonic_ns() + farm->config.home.answer_timeout_ns, timed_out);
    act(call, session_call(&device, call->terminal->attempts, farm->frame));
}

static void call_ready(void *owner, uint32_t mask)
{
    struct call *call = owner;
    if (call->state == CALL_CONNECTING) {
        connected(call);
        return;
    }
    if (mask & EPOLLOUT && call->link.unread_bytes > 0)
        link_flush(&call->link, reactor_of(call));
    if (mask & ~EPOLLOUT)
        read_answer(call);
}

/* Returns 0, or the error's number. */
static int connect_home(struct call *call)
{
    const struct farm *farm = call->terminal->farm;
    const struct home *home = &farm->config.home;
    struct address from = terminal_address(call->terminal);
    union socket_address to;
    uint16_t port = home->port + terminal_index(call->terminal) / home->list_size;
    socklen_t size = address_with_port(&home->address, port, &to);
    call->link = (struct link){.fd = bound_socket(SOCK_STREAM, &from, 0)};
    if (call->link.fd < 0)
        return errno;
    call->state = CALL_CONNECTING;
    if (connect(call->link.fd, &to.any, size) != 0 && errno != EINPROGRESS)
        return errno;
    return reactor_watch(farm->reactor, call->link.fd, EPOLLOUT, call_ready, call) ? 0 : errno;
}

static void begin(struct timer *timer)
{
    struct call *call = (struct call *)timer;
    struct farm *farm = call->terminal->farm;
    call->terminal->attempts++;
    farm->calls_made++;
    int error = farm_session(&call->session) ? connect_home(call) : ENOBUFS;
    if (error != 0)
        ended(call, reason_of(error));
    else
        reactor_call_at(farm->reactor, timer, monotonic_ns() + farm->config.home.connect_timeout_ns, timed_out);
}

/* Connections from before the off time are unknown to a terminal that has just started. */
static void wake(struct terminal *terminal)
{
    cut_off_reset(&terminal->cut_off);
    if (terminal->is_done)
        return;
    terminal->call = calloc(1, sizeof *terminal->call);
    if (terminal->call == NULL)
        return; // the next wake-up may find memory
    terminal->call->terminal = terminal;
    begin(&terminal->call->timer);
}

/* The call, if there is one, has failed: by a reset, or without a word. */
static bool sleep_in(struct terminal *terminal)
{
    struct call *call = terminal->call;
    struct farm *farm = terminal->farm;
    if (call == NULL)
        return true;
    if (call->state != CALL_WAITING) {
        if (farm->config.is_silent_when_off) {
            reactor_unwatch(farm->reactor, call->link.fd);
            cut_off_add(&terminal->cut_off, call->link.fd);
        } else {
            hang_up(call);
        }
        farm->calls_by_reason[REASON_RESET]++;
        terminal->is_done = terminal->attempts >= farm->config.home.max_attempts;
    }
    let_go(call);
    call_free(call);
    return cut_off_deafen(terminal->cut_off, farm->filter);
}

static bool calls_switch(struct terminal *terminal, bool is_on)
{
    bool is_change = terminal->is_told;
    terminal->is_told = true; // of the first state, which is no wake-up
    terminal->is_on = is_on;
    if (!is_change)
        return true;
    if (!is_on)
        return sleep_in(terminal);
    wake(terminal);
    return true;
}

static void calls_expire(struct terminal *terminal, int64_t now_ns)
{
    (void)terminal;
    (void)now_ns; // every call has a timer of its own
}

static void calls_close(struct terminal *terminal)
{
    if (terminal->call != NULL) {
        hang_up(terminal->call);
        let_go(terminal->call);
        call_free(terminal->call);
    }
    cut_off_reset(&terminal->cut_off);
}

const struct transport_calls CALLING_CALLS = {calls_switch, calls_expire, calls_close};
