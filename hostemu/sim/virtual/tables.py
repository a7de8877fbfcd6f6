"""The calendar's memory: what compiled code knows of guests, their network interfaces and frames that wait for them.

Python fills it in while a guest boots; from then on only compiled code writes, but for a guest that is poked.
Guest k is port k of the world (`hostemu.gine.world`) that its frames travel in.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hostemu.gine import libc
from hostemu.gine.heap import Integers
from hostemu.gine.shared import pointer_maker, shared_type
from hostemu.gine.world import NONE, Records, table

FOREVER_NS = (1 << 63) - 1
"""The moment that a guest asks for which waits for nothing but interrupts."""

# What a guest is doing.
RUNNING, WAITING, ANSWERING = range(3)  # ANSWERING: it has been interrupted, and is to say that it knows

# What a descriptor carries, and is served by compiled code; anything else is Python's.
CLOCK, KICKS, CALLS = range(3)
KINDS = 3

RX, TX, QUEUES = range(3)
REGIONS = 2  # of a guest's memory: physical, and what is beyond (arch/um: highmem)
MOST_FDS = 1 << 16
MESSAGE_WORDS = 1024


def _record(columns: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.int64) for name in columns.split()])


# req_ns: when it wants to run next.  horizon_ns: how far it was allowed to run by itself; its clock is no further.
# first, last: its frames that have come in, `following` leads on; sent_first, sent_last: those it has sent.
GUEST = _record(
    "clock_fd kick_fd call_fd state parked over now_ns req_ns horizon_ns seq sent_irq poked "
    "first last sent_first sent_last no_buffer late too_long"
)
# Addresses in this process; next: of the ring's available entries, the first that was not looked at yet.
QUEUE = _record("entries descriptors used available next")
REGION = _record("first length address")
CALENDAR = _record(
    "now_ns window_end_ns lookahead_ns is_open active tod_ns epoll spins silent_ms traced is_traced "
    "messages windows runs frames_sent frames_received calls unread_bytes"
)
TRACE = np.dtype(
    [("at_ns", np.int64), ("port", np.int32), ("way", np.int32), ("bytes", np.int64), ("hash", np.uint64)]
)


class Machines(NamedTuple):
    """All guests.  Columns by frame slot: `following` the slot behind it, `at_ns` when it came or was sent."""

    calendar: Records  # one CALENDAR
    guests: Records
    queues: Records  # [QUEUES * guest + queue]
    regions: Records  # [REGIONS * guest + region]
    by_fd: Integers  # guest * KINDS + kind; NONE: Python's
    following: Integers
    at_ns: Integers
    stash: Integers  # slots that wait until the guests have run
    stash_ns: Integers
    words: npt.NDArray[np.uint32]  # [MESSAGE_WORDS] of what was read
    answer: npt.NDArray[np.uint32]  # [MESSAGE_WORDS]
    header: npt.NDArray[np.uint8]  # of one frame
    number: npt.NDArray[np.uint64]  # one field of a guest's memory
    events: npt.NDArray[np.int32]
    trace: Records


def empty_machines(guests: int, frames: int) -> Machines:
    """So many guests that have not started; frames: slots of the world's pool."""
    following, at_ns, stash, stash_ns = np.full((4, frames), NONE, np.int64)
    found = Machines(
        calendar=table(CALENDAR, 1),
        guests=table(GUEST, guests),
        queues=table(QUEUE, QUEUES * guests),
        regions=table(REGION, REGIONS * guests),
        by_fd=np.full(MOST_FDS, NONE, np.int64),
        following=following,
        at_ns=at_ns,
        stash=stash,
        stash_ns=stash_ns,
        words=np.zeros(MESSAGE_WORDS, np.uint32),
        answer=np.zeros(MESSAGE_WORDS, np.uint32),
        header=np.zeros(16, np.uint8),
        number=np.zeros(1, np.uint64),
        events=np.zeros((256, libc.EPOLL_EVENT_WORDS), np.int32),
        trace=table(TRACE, 4 * frames),
    )
    for row in found.guests:
        row.clock_fd = row.kick_fd = row.call_fd = NONE
        row.first = row.last = row.sent_first = row.sent_last = NONE
        row.req_ns = FOREVER_NS
        row.parked = row.over = 1
    return found


machines_at = pointer_maker(shared_type(empty_machines(1, 1)))
