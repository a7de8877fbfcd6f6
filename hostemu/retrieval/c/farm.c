#define _GNU_SOURCE // accept4

#include "farm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SPARE_FILES 200 /* descriptors for connections, beside one for each terminal */
#define OTHER_TIMERS 64

static uint64_t offset_of(const struct terminal *terminal)
{
    return terminal - terminal->farm->terminals;
}

uint64_t terminal_index(const struct terminal *terminal)
{
    return terminal->farm->config.first_index + offset_of(terminal);
}

struct address terminal_address(const struct terminal *terminal)
{
    struct address address = terminal->farm->config.first_address;
    address_plus(&address, offset_of(terminal));
    return address;
}

struct device device_of(struct terminal *terminal)
{
    const struct farm_config *config = &terminal->farm->config;
    return (struct device){&config->fleet, config->first_device_id + offset_of(terminal), &terminal->nonces};
}

int terminal_bind(struct terminal *terminal, int kind)
{
    struct address address = terminal_address(terminal);
    return bound_socket(kind, &address, terminal->farm->config.port);
}

bool terminal_deafen(const struct terminal *terminal, int fd)
{
    return deafen(fd, terminal->farm->filter);
}

bool farm_session(struct session *session)
{
    uint8_t nonce[NONCE_BYTES];
    if (!random_bytes(nonce, sizeof nonce))
        return false;
    session_begin(session, nonce);
    return true;
}

void farm_count(struct farm *farm, const struct doing *doing)
{
    farm->served += doing->is_served;
    if (doing->refused != REASON_NONE)
        farm->refusals[doing->refused]++;
}

static void reserve_fd(struct farm *farm)
{
    farm->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void release(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void farm_turn_away(struct farm *farm, int listener)
{
    release(&farm->spare_fd);
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return; // the caller has gone, or all descriptors are in use elsewhere: the next call tries again
    reset(fd);
    farm->refusals[REASON_LOCAL]++;
    reserve_fd(farm);
}

static bool switch_power(struct terminal *terminal, bool is_on, struct failure *failure)
{
    const struct farm *farm = terminal->farm;
    if (farm->calls->switch_power(terminal, is_on))
        return true;
    struct address address = terminal_address(terminal);
    char text[INET6_ADDRSTRLEN];
    int error = errno;
    fail(failure, RUN_ERROR, "terminal at %s port %d cannot listen", address_text(&address, text), farm->config.port);
    fail_more(failure, "expected", "an address of this host, free on that port");
    fail_more(failure, "found", "%s", strerror(error));
    fail_more(failure, "to do", "route the terminals' prefix to this host: ip route add local PREFIX dev lo");
    return false;
}

static void await_change(struct terminal *terminal);

static void change(struct timer *timer)
{
    struct terminal *terminal = (struct terminal *)timer;
    struct farm *farm = terminal->farm;
    bool is_on =
        power_advance(&terminal->power, &farm->power, terminal_index(terminal), monotonic_ns() - farm->start_ns);
    if (is_on != terminal->is_on) {
        farm->power_switches++;
        if (!switch_power(terminal, is_on, &farm->failure))
            reactor_stop(farm->reactor);
    }
    await_change(terminal);
}

static void await_change(struct terminal *terminal)
{
    struct farm *farm = terminal->farm;
    reactor_call_at(farm->reactor, &terminal->timer, farm->start_ns + terminal->power.next_change_ns, change);
}

static void sweep(struct timer *timer)
{
    struct farm *farm = (struct farm *)((char *)timer - offsetof(struct farm, sweep));
    int64_t now_ns = monotonic_ns();
    for (uint64_t i = 0; i < farm->terminal_count; i++)
        farm->calls->expire(&farm->terminals[i], now_ns);
    reactor_call_at(farm->reactor, timer, now_ns + farm->config.peer_timeout_ns / 2 + 1, sweep);
}

void farm_start(struct farm *farm, int64_t at_ns)
{
    farm->start_ns = at_ns;
    for (uint64_t i = 0; i < farm->terminal_count; i++)
        await_change(&farm->terminals[i]);
    sweep(&farm->sweep);
}

static bool enough_files(uint64_t terminals, struct failure *failure)
{
    uint64_t needed = terminals + SPARE_FILES, limit = file_limit();
    if (needed <= limit)
        return true;
    fail(failure, HOST_ERROR, "too few file descriptors for %" PRIu64 " terminals in one program", terminals);
    fail_more(failure, "expected", "at least %" PRIu64, needed);
    fail_more(failure, "found", "%" PRIu64, limit);
    fail_more(failure, "to do", "raise the hard limit (ulimit -Hn), or put fewer terminals into a guest");
    return false;
}

static bool enough_memory(struct farm *farm, uint64_t terminals, struct failure *failure)
{
    farm->terminals = calloc(terminals, sizeof *farm->terminals);
    if (farm->terminals != NULL && reactor_reserve(farm->reactor, terminals + OTHER_TIMERS))
        return true;
    fail(failure, HOST_ERROR, "too little memory for %" PRIu64 " terminals in one program", terminals);
    fail_more(failure, "to do", "give the guest more memory, or put fewer terminals into it");
    return false;
}

static bool open_terminal(struct terminal *terminal, struct farm *farm, struct failure *failure)
{
    terminal->farm = farm;
    terminal->fd = -1;
    power_begin(&terminal->power, &farm->power, terminal_index(terminal));
    return switch_power(terminal, terminal->power.is_on, failure);
}

static bool open_terminals(struct farm *farm, struct failure *failure)
{
    uint64_t count = farm->config.count;
    if (!enough_files(count, failure) || !enough_memory(farm, count, failure))
        return false;
    reserve_fd(farm);
    while (farm->terminal_count < count)
        if (!open_terminal(&farm->terminals[farm->terminal_count++], farm, failure))
            return false;
    return true;
}

static const struct transport_calls *calls_of(const struct farm_config *config)
{
    if (config->home.is_called)
        return &CALLING_CALLS;
    return config->transport == TRANSPORT_TCP ? &TCP_CALLS : &UDP_CALLS;
}

bool farm_open(struct farm *farm, const struct farm_config *config, struct reactor *reactor, struct failure *failure)
{
    farm->reactor = reactor;
    farm->config = *config;
    farm->spare_fd = -1;
    farm->filter = config->is_silent_when_off ? shared_filter() : -1;
    farm->calls = calls_of(config);
    power_plan(&farm->power, &config->power, config->seed);
    if (open_terminals(farm, failure))
        return true;
    farm_close(farm);
    return false;
}

void farm_close(struct farm *farm)
{
    for (uint64_t i = 0; i < farm->terminal_count; i++) {
        struct terminal *terminal = &farm->terminals[i];
        farm->calls->close(terminal);
        reactor_cancel(farm->reactor, &terminal->timer);
        free(terminal->nonces);
    }
    reactor_cancel(farm->reactor, &farm->sweep);
    release(&farm->spare_fd);
    release(&farm->filter);
    free(farm->terminals);
    farm->terminals = NULL;
    farm->terminal_count = 0;
}

static void put_by_reason(struct text *text, const char *name, const uint64_t counts[REASONS])
{
    const char *separator = "";
    text_add(text, ", \"%s\": {", name);
    for (unsigned reason = 0; reason < REASONS; reason++) {
        if (counts[reason] > 0) {
            text_add(text, "%s\"%s\": %" PRIu64, separator, reason_name(reason), counts[reason]);
            separator = ", ";
        }
    }
    text_add(text, "}");
}

void farm_counters(const struct farm *farm, struct text *text)
{
    text_add(text, ", \"served\": %" PRIu64 ", \"connections\": %" PRIu64, farm->served, farm->connections);
    text_add(text, ", \"calls\": %" PRIu64, farm->calls_made);
    put_by_reason(text, "calls_by_reason", farm->calls_by_reason);
    put_by_reason(text, "refusals", farm->refusals);
    uint64_t on = 0;
    for (uint64_t i = 0; i < farm->terminal_count; i++)
        on += farm->terminals[i].is_on;
    text_add(text, ", \"power_switches\": %" PRIu64 ", \"terminals_on\": %" PRIu64, farm->power_switches, on);
}
