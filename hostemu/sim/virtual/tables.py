"""The calendar's memory: what compiled code knows of guests, and where it meets them.

A guest's NICs are ports of the world (`hostemu.gine.world`) that their frames travel in, one behind the other, guest
by guest.  Its process sees the hall, its desk and its boxes (hostemu/guests/preload/virtual_time/desk.h has the same
layout); the rest is the calendar's own.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hostemu.gine import libc
from hostemu.gine.heap import Integers
from hostemu.gine.shared import pointer_maker, shared_type
from hostemu.gine.world import NEVER_NS, NONE, Records, table

FOREVER_NS = NEVER_NS
"""The moment that a guest asks for which waits for nothing but interrupts."""

# Whose turn it is at a desk; why a guest hands it over; what a guest is interrupted for.
CALENDARS, GUESTS = range(2)
SLEEPS, IS_FULL = range(2)
HAS_COME, IS_SENT, LOOK = 1, 2, 4

MOST_INTERFACES = 8
"""Of one guest."""

MOST_FDS = 1 << 16
BOX_BYTES = 1 << 20
_PAGE_BYTES = 4096


def _record(columns: str) -> np.dtype[np.void]:
    return np.dtype([(name, np.int64) for name in columns.split()])


HALL = np.dtype(
    [("arrivals", np.uint32), ("is_asleep", np.uint32), *_record("tod_ns desks_at boxes_at box_bytes").descr]
)
_DESK = [
    *("now_ns", "free_ns", "calls", "in_bytes"),
    *(f"mac{nic}" for nic in range(MOST_INTERFACES)),
    *("frame_ns", "kib_ns", "call_ns", "fault_ns"),
    *("reason", "wanted_ns", "is_owed", "out_bytes", "taken", "no_buffer", "too_long", "messages", "charged_ns"),
]
DESK = np.dtype(
    {
        "names": ["turn", *_DESK],
        "formats": [np.uint32, *[np.int64] * len(_DESK)],
        "offsets": [0, *range(8, 8 * len(_DESK) + 1, 8)],
        "itemsize": 256,
    }
)
LABEL_BYTES = 16
"""Before each frame in a box: when it is sent; then its bytes with GINE's header, and in the upper half its NIC."""

# horizon_ns: how far it was allowed to run by itself; its clock is no further.  has_turn: it is running, or boots.
# first, last: its frames that have come in, `following` leads on; sent_first, sent_last: those it has sent.
GUEST = _record(
    "first_port has_turn parked over now_ns req_ns horizon_ns poked first last sent_first sent_last no_buffer late"
)
CALENDAR = _record(
    "now_ns window_end_ns lookahead_ns is_open active epoll spins silent_ms traced is_traced "
    "windows turns frames_sent"
)
TRACE = np.dtype(
    [("at_ns", np.int64), ("port", np.int32), ("way", np.int32), ("bytes", np.int64), ("hash", np.uint64)]
)


class Machines(NamedTuple):
    """All guests.

    Columns by frame slot: `following` the slot behind it, `at_ns` when it came or was sent, `port` where.
    """

    calendar: Records  # one CALENDAR
    guests: Records
    hall: Records  # one HALL
    desks: Records
    boxes: npt.NDArray[np.uint8]  # [2 * guest] what comes to it, [2 * guest + 1] what it sends
    by_fd: Integers  # whose clock it is; NONE: nobody's
    guest_of: Integers  # [port]; NONE: a simulated host's
    following: Integers
    at_ns: Integers
    port: Integers
    stash: Integers  # slots that wait until the guests have run
    stash_ns: Integers
    number: npt.NDArray[np.uint64]  # one field of a box, or a futex
    patience: Integers  # struct timespec
    events: npt.NDArray[np.int32]
    trace: Records


class Meeting:
    """The memory that guests see: of `fd`, which is closed with `close`."""

    def __init__(self, guests: int) -> None:
        desks_at = _PAGE_BYTES
        boxes_at = desks_at + -(-guests * DESK.itemsize // _PAGE_BYTES) * _PAGE_BYTES
        total = boxes_at + 2 * guests * BOX_BYTES
        self.fd = os.memfd_create("hostemu-calendar")
        os.ftruncate(self.fd, total)
        octets = np.frombuffer(mmap.mmap(self.fd, total), np.uint8)
        self.hall = octets[: HALL.itemsize].view(HALL).view(np.recarray)
        self.desks = octets[desks_at : desks_at + guests * DESK.itemsize].view(DESK).view(np.recarray)
        self.boxes = octets[boxes_at:].reshape(2 * guests, BOX_BYTES)
        hall = self.hall[0]
        hall.desks_at, hall.boxes_at, hall.box_bytes = desks_at, boxes_at, BOX_BYTES
        self.desks.turn = GUESTS
        self.desks.wanted_ns = FOREVER_NS

    def close(self) -> None:
        """The memory goes when nobody looks at it any more."""
        os.close(self.fd)


def empty_machines(meeting: Meeting, nics: Sequence[int], ports: int, frames: int) -> Machines:
    """Guests that have not started, with so many NICs each.  ports, frames: of the world, and slots of its pool."""
    following, at_ns, port, stash, stash_ns = np.full((5, frames), NONE, np.int64)
    found = Machines(
        calendar=table(CALENDAR, 1),
        guests=table(GUEST, len(meeting.desks)),
        hall=meeting.hall,
        desks=meeting.desks,
        boxes=meeting.boxes,
        by_fd=np.full(MOST_FDS, NONE, np.int64),
        guest_of=np.full(max(1, ports), NONE, np.int64),
        following=following,
        at_ns=at_ns,
        port=port,
        stash=stash,
        stash_ns=stash_ns,
        number=np.zeros(1, np.uint64),
        patience=np.zeros(2, np.int64),
        events=np.zeros((256, libc.EPOLL_EVENT_WORDS), np.int32),
        trace=table(TRACE, 4 * frames),
    )
    first = 0
    for guest, (row, count) in enumerate(zip(found.guests, nics, strict=False)):
        row.first_port = first
        found.guest_of[first : first + count] = guest
        first += count
    for row in found.guests:
        row.first = row.last = row.sent_first = row.sent_last = NONE
        row.req_ns = FOREVER_NS
        row.parked = row.over = 1
    return found


def _sample() -> Machines:
    meeting = Meeting(1)
    meeting.close()
    return empty_machines(meeting, [1], 1, 1)


machines_at = pointer_maker(shared_type(_sample()))
