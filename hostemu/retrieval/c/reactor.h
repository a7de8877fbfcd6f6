/* The event loop: epoll, and a heap of timers that notes how late they were.  As hostemu/retrieval/reactor.py. */
#ifndef REACTOR_H
#define REACTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "lateness.h"

struct timer;
typedef void timer_call(struct timer *timer);

/* One call to come, in the memory of whom it concerns.  All zero at first. */
struct timer {
    int64_t due_ns;
    uint64_t sequence; /* of timers that are due at the same time the older one goes first */
    timer_call *call;
    uint32_t place; /* in the heap, counted from 1; 0 when not in it */
};

typedef void ready_call(void *owner, uint32_t mask);

/* Who is told about a descriptor. */
struct watch {
    ready_call *call; /* NULL: nobody */
    void *owner;
    uint32_t batch; /* of events in which it was registered */
};

struct reactor {
    int epoll_fd;
    bool is_running;
    uint32_t batch;
    struct watch *watches; /* by descriptor */
    int watch_room;
    struct timer **heap;
    uint32_t timer_count, timer_room;
    uint64_t sequence;
    struct lateness lateness;
};

int64_t monotonic_ns(void);

/* False, with errno, when the system has none to give. */
bool reactor_open(struct reactor *reactor);
void reactor_close(struct reactor *reactor);

/* Calls until reactor_stop. */
void reactor_run(struct reactor *reactor);
void reactor_stop(struct reactor *reactor);

/* Calls call(owner, events) whenever the descriptor is ready as `mask` says, level-triggered.  False with errno. */
bool reactor_watch(struct reactor *reactor, int fd, uint32_t mask, ready_call *call, void *owner);
void reactor_modify(struct reactor *reactor, int fd, uint32_t mask);

/* The descriptor is about to be closed, which takes it out of epoll.  Or: it stays open. */
void reactor_forget(struct reactor *reactor, int fd);
void reactor_unwatch(struct reactor *reactor, int fd);

/* Room for this many timers, so that reactor_call_at does not fail for them. */
bool reactor_reserve(struct reactor *reactor, uint32_t timers);

/* Calls call(timer) at a moment of the monotonic clock, instead of what the timer was set to; false: no memory. */
bool reactor_call_at(struct reactor *reactor, struct timer *timer, int64_t due_ns, timer_call *call);
void reactor_cancel(struct reactor *reactor, struct timer *timer);

#endif
