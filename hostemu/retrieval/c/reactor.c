#define _GNU_SOURCE // ppoll
#include "reactor.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S 1000000000
#define NS_PER_MS 1000000
#define EVENTS 64 /* taken from the kernel at a time */
#define FIRST_ROOM 64

int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

bool reactor_open(struct reactor *reactor)
{
    *reactor = (struct reactor){0};
    reactor->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return reactor->epoll_fd >= 0;
}

void reactor_close(struct reactor *reactor)
{
    free(reactor->watches);
    free(reactor->heap);
    close(reactor->epoll_fd);
}

void reactor_stop(struct reactor *reactor)
{
    reactor->is_running = false;
}

/* Descriptors */

static bool reserve_watch(struct reactor *reactor, int fd)
{
    if (fd < reactor->watch_room)
        return true;
    int room = reactor->watch_room > 0 ? reactor->watch_room : FIRST_ROOM;
    while (room <= fd)
        room *= 2;
    struct watch *watches = realloc(reactor->watches, room * sizeof *watches);
    if (watches == NULL)
        return false;
    memset(watches + reactor->watch_room, 0, (room - reactor->watch_room) * sizeof *watches);
    reactor->watches = watches;
    reactor->watch_room = room;
    return true;
}

bool reactor_watch(struct reactor *reactor, int fd, uint32_t mask, ready_call *call, void *owner)
{
    struct epoll_event event = {.events = mask, .data.fd = fd};
    if (!reserve_watch(reactor, fd)) {
        errno = ENOMEM;
        return false;
    }
    if (epoll_ctl(reactor->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        return false;
    reactor->watches[fd] = (struct watch){call, owner, reactor->batch};
    return true;
}

void reactor_modify(struct reactor *reactor, int fd, uint32_t mask)
{
    struct epoll_event event = {.events = mask, .data.fd = fd};
    epoll_ctl(reactor->epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

void reactor_forget(struct reactor *reactor, int fd)
{
    if (fd < reactor->watch_room)
        reactor->watches[fd].call = NULL;
}

void reactor_unwatch(struct reactor *reactor, int fd)
{
    reactor_forget(reactor, fd);
    epoll_ctl(reactor->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void tell(struct reactor *reactor, const struct epoll_event *events, int count)
{
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd;
        struct watch watch = reactor->watches[fd];
        // A number that was closed and opened again within this batch: the event is the old file's.
        if (watch.call != NULL && watch.batch != reactor->batch)
            watch.call(watch.owner, events[i].events);
    }
}

/* Timers: a binary heap, counted from 1. */

static bool is_sooner(const struct timer *left, const struct timer *right)
{
    return left->due_ns != right->due_ns ? left->due_ns < right->due_ns : left->sequence < right->sequence;
}

static void put(struct reactor *reactor, uint32_t place, struct timer *timer)
{
    reactor->heap[place] = timer;
    timer->place = place;
}

/* Puts a timer at a place, or above or below it, wherever the order of the heap wants it. */
static void settle(struct reactor *reactor, uint32_t place, struct timer *timer)
{
    while (place > 1 && is_sooner(timer, reactor->heap[place / 2])) {
        put(reactor, place, reactor->heap[place / 2]);
        place /= 2;
    }
    for (;;) {
        uint32_t child = 2 * place;
        if (child < reactor->timer_count && is_sooner(reactor->heap[child + 1], reactor->heap[child]))
            child++;
        if (child > reactor->timer_count || !is_sooner(reactor->heap[child], timer))
            break;
        put(reactor, place, reactor->heap[child]);
        place = child;
    }
    put(reactor, place, timer);
}

bool reactor_reserve(struct reactor *reactor, uint32_t timers)
{
    if (timers < reactor->timer_room)
        return true;
    struct timer **heap = realloc(reactor->heap, (timers + 1) * sizeof *heap);
    if (heap == NULL)
        return false;
    reactor->heap = heap;
    reactor->timer_room = timers + 1;
    return true;
}

bool reactor_call_at(struct reactor *reactor, struct timer *timer, int64_t due_ns, timer_call *call)
{
    reactor_cancel(reactor, timer);
    if (reactor->timer_count + 1 >= reactor->timer_room &&
        !reactor_reserve(reactor, reactor->timer_room + reactor->timer_room / 2 + FIRST_ROOM))
        return false;
    timer->due_ns = due_ns;
    timer->sequence = reactor->sequence++;
    timer->call = call;
    settle(reactor, ++reactor->timer_count, timer);
    return true;
}

void reactor_cancel(struct reactor *reactor, struct timer *timer)
{
    if (timer->place == 0)
        return;
    struct timer *last = reactor->heap[reactor->timer_count--];
    if (last != timer)
        settle(reactor, timer->place, last);
    timer->place = 0;
}

static void run_timers(struct reactor *reactor)
{
    if (reactor->timer_count == 0)
        return;
    int64_t now_ns = monotonic_ns();
    while (reactor->timer_count > 0 && reactor->heap[1]->due_ns <= now_ns) {
        struct timer *timer = reactor->heap[1];
        reactor_cancel(reactor, timer);
        lateness_add(&reactor->lateness, monotonic_ns() - timer->due_ns);
        timer->call(timer);
    }
}

/* Waiting */

static int wait_ms(struct reactor *reactor, struct epoll_event *events, int ms)
{
    int count = epoll_wait(reactor->epoll_fd, events, EVENTS, ms);
    return count > 0 ? count : 0; // a signal that stops and continues the process interrupts the wait
}

static int wait_for_events(struct reactor *reactor, struct epoll_event *events)
{
    if (reactor->timer_count == 0)
        return wait_ms(reactor, events, -1);
    int64_t left_ns = reactor->heap[1]->due_ns - monotonic_ns();
    if (left_ns >= NS_PER_MS) {
        int64_t whole_ms = left_ns / NS_PER_MS;
        return wait_ms(reactor, events, whole_ms < INT32_MAX ? whole_ms : INT32_MAX);
    }
    if (left_ns > 0) {
        // epoll counts whole milliseconds.
        struct pollfd epoll = {.fd = reactor->epoll_fd, .events = POLLIN};
        ppoll(&epoll, 1, &(struct timespec){.tv_nsec = left_ns}, NULL);
    }
    return wait_ms(reactor, events, 0);
}

void reactor_run(struct reactor *reactor)
{
    struct epoll_event events[EVENTS];
    reactor->is_running = true;
    while (reactor->is_running) {
        int count = wait_for_events(reactor, events);
        reactor->batch++;
        tell(reactor, events, count);
        run_timers(reactor);
    }
}
