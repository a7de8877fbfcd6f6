/*
 * Where a guest's process and its calendar meet: memory that both see, made by hostemu/sim/virtual/tables.py.
 *
 * A desk is its guest's or the calendar's, as `turn` says; who does not have it waits.
 */
#pragma once

#include <stdint.h>

enum { CALENDARS, GUESTS };                   /* whose turn it is */
enum { SLEEPS, IS_FULL };                     /* why a guest hands its desk over */
enum { HAS_COME = 1, IS_SENT = 2, LOOK = 4 }; /* what a guest is interrupted for */

#define FOREVER_NS INT64_MAX
#define MOST_INTERFACES 8

struct hall {
    uint32_t arrivals;           /* futex: how often desks have been handed to the calendar */
    uint32_t is_asleep;          /* whether it waits for that */
    int64_t tod_ns;              /* the wall time at the calendar's 0 */
    int64_t desks_at, boxes_at; /* from here, in bytes */
    int64_t box_bytes;
};

struct desk {
    uint32_t turn; /* futex */
    uint32_t unused;
    /* from the calendar */
    int64_t now_ns; /* when the guest is interrupted, if it is */
    int64_t free_ns; /* up to when it may run by itself */
    int64_t calls;
    int64_t in_bytes; /* of frames that have come */
    uint8_t macs[MOST_INTERFACES][8];
    int64_t frame_ns, kib_ns; /* CPU time that a frame takes the guest, and each 1024 octets of it */
    int64_t call_ns, fault_ns; /* and each time that a program enters its kernel, by a system call, by a page fault */
    /* from the guest */
    int64_t reason;
    int64_t wanted_ns; /* when it wants to run */
    int64_t is_owed; /* it is to be told that frames are sent: a bit for each interface */
    int64_t out_bytes; /* of frames that it sends */
    int64_t taken, no_buffer, too_long; /* frames that have come; that it could not take, or not send */
    int64_t messages; /* between kernel and library, for which nobody waited */
    int64_t charged_ns; /* CPU time that has been paid with the guest's own */
    int64_t spare[6];
};

_Static_assert(sizeof(struct desk) == 256, "DESK in tables.py");

/* Of each frame in a box; its octets follow, filled up to 8. */
struct label {
    int64_t at_ns; /* when it is sent */
    int32_t bytes; /* with GINE's header */
    int32_t nic;   /* which of the guest's interfaces */
};

static inline int64_t filled_up(int64_t bytes)
{
    return (bytes + 7) & ~(int64_t)7;
}
