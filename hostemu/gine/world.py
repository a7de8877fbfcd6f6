"""The engine's memory: every table that compiled code works on, as arrays of records.

Python fills it in before the engine starts and reads the counters; in between only the engine writes, except `stop`.
"""

from __future__ import annotations

import mmap
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from hostemu.gine import libc
from hostemu.gine.frames import SLOT_BYTES
from hostemu.gine.heap import Heap, Integers
from hostemu.gine.shared import pointer_maker, shared_type
from hostemu.lines.model import LINE

Records: TypeAlias = Any  # np.recarray of one of the record types below

NONE = -1
NEVER_NS = (1 << 63) - 1
_MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)  # Python has it from 3.13 on; asm-generic/mman.h

# What a line leads to.
TO_PORT, TO_SWITCH, TO_ROUTER = range(3)

# What becomes of packets at a node; a row of `tally` per node.
(
    RECEIVED,
    FORWARDED,
    FLOODED,
    COPIES,
    CONSUMED,
    ORIGINATED,
    HELD,
    DROP_MALFORMED,
    DROP_SAME_SIDE,
    DROP_NOT_FOR_US,
    DROP_UNKNOWN_PROTOCOL,
    DROP_NOT_ROUTABLE,
    DROP_NO_ROUTE,
    DROP_TTL_EXCEEDED,
    DROP_UNREACHABLE,
    DROP_NO_ROOM,
    DROP_NO_SLOT,
    TALLIES,
) = range(18)

TALLY_NAMES = (
    "received",
    "forwarded",
    "flooded",
    "copies",
    "consumed",
    "originated",
    "held",
    "drop_malformed",
    "drop_same_side",
    "drop_not_for_us",
    "drop_unknown_protocol",
    "drop_not_routable",
    "drop_no_route",
    "drop_ttl_exceeded",
    "drop_unreachable",
    "drop_no_room",
    "drop_no_slot",
)

# Kinds of routes, and states of neighbours.
LOCAL, CONNECTED, GATEWAY, BROADCAST = range(1, 5)
FREE, ASKING, KNOWN, STATIC, FAILED = range(5)

HELD_PER_NEIGHBOUR = 8
BUCKETS_PER_OCTAVE = 16
SAID_BYTES = 1 << 16
"""Of what a simulated host may say when it is called."""

LATENESS_BUCKETS = 64 * BUCKETS_PER_OCTAVE


def _record(signed: str, unsigned: str = "") -> np.dtype[np.void]:
    columns: list[tuple[str, type]] = [(name, np.uint64) for name in unsigned.split()]
    return np.dtype(columns + [(name, np.int64) for name in signed.split()])


PORT = _record(
    "fd line packets_read packets_written bytes_read bytes_written "
    "malformed write_errors down_errors last_errno closed call handle next_ns"
)
# call, handle: of a simulated host (hostemu.gine.simulated), 0: there is none; next_ns: when it wants to be called.
HOP = _record("kind node")  # node: of a port, a switch, or an interface of a router
SWITCH = _record("node first count")
MAC = _record("line seen_ns", "key")
ROUTER = _record("node first_range ranges")
INTERFACE = _record("router line mac")
RANGE = _record("route", "high low")
ROUTE = _record("kind interface", "via_high via_low source_high source_low")
NEIGHBOUR = _record("state interface mac seen_ns asked_ns asked route held listed", "high low")
STATE = _record(
    "stop free lowest_free asking next_tick_ns early_ns longest_early_ns turn_ns spun_ns epoll wake_fd "
    "wakeups frames_read frames_written late_max_ns late_over_1ms "
    "pool_exhausted packets_discarded write_errors down_errors failed_errno simulated_ns"
)


class Frames(NamedTuple):
    """The pool.  Slot k is `octets[k]`; `free[: state.free]` are the slots not in use.

    Columns of a slot in use: its length in bytes (virtio header included), the packets that it is on the wire,
    the wire bytes charged for them, the line it is on, and whether a router made it itself.
    """

    octets: npt.NDArray[np.uint8]
    length: Integers
    packets: Integers
    wire_bytes: Integers
    line: Integers
    own: Integers
    free: Integers

    @staticmethod
    def reserve(slots: int) -> Frames:
        """Address space for `slots` frames; memory is taken as slots are first used, page by page."""
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        memory = mmap.mmap(-1, slots * SLOT_BYTES, flags=flags)
        memory.madvise(mmap.MADV_NOHUGEPAGE)
        octets = np.frombuffer(memory, np.uint8).reshape(slots, SLOT_BYTES)
        length, packets, wire_bytes, line, own = np.zeros((5, slots), np.int64)
        free = np.arange(slots - 1, -1, -1, dtype=np.int64)
        return Frames(octets, length, packets, wire_bytes, line, own, free)


class World(NamedTuple):
    """All that the engine knows."""

    state: Records  # one STATE
    frames: Frames
    heap: Heap
    lines: Records
    hops: Records
    ports: Records
    port_of_fd: Integers
    switches: Records
    switch_lines: Integers
    macs: Records
    routers: Records
    interfaces: Records
    ranges: Records
    routes: Records
    neighbours: Records
    held: Integers  # [neighbour, HELD_PER_NEIGHBOUR] slots
    asking: Integers  # neighbours that are being asked for
    tally: Integers  # [node, TALLIES]
    lateness: Integers  # [LATENESS_BUCKETS]
    events: npt.NDArray[np.int32]
    moment: Integers  # struct timespec, and a struct pollfd behind it
    said: Integers  # SAID_BYTES


def table(kind: np.dtype[np.void], rows: int) -> Records:
    """A zeroed table of at least one row (compiled code wants no empty arrays)."""
    return np.zeros(max(1, rows), kind).view(np.recarray)


def empty_world(
    *, frames: int, lines: int, ports: int, highest_fd: int, switches: int, routers: int, macs: int, neighbours: int
) -> World:
    """A world of the given sizes, with nothing in it; `macs` and `neighbours` are powers of two."""
    state = table(STATE, 1)
    state.free = state.lowest_free = frames
    state.simulated_ns = NEVER_NS
    return World(
        state=state,
        frames=Frames.reserve(frames),
        heap=Heap.empty(frames),
        lines=table(LINE, lines),
        hops=table(HOP, lines),
        ports=table(PORT, ports),
        port_of_fd=np.full(highest_fd + 1, NONE, np.int64),
        switches=table(SWITCH, switches),
        switch_lines=np.zeros(max(1, lines), np.int64),
        macs=table(MAC, macs),
        routers=table(ROUTER, routers),
        interfaces=table(INTERFACE, lines),
        ranges=table(RANGE, 0),
        routes=table(ROUTE, 0),
        neighbours=table(NEIGHBOUR, neighbours),
        held=np.full((neighbours, HELD_PER_NEIGHBOUR), NONE, np.int64),
        asking=np.zeros(neighbours, np.int64),
        tally=np.zeros((max(1, switches + routers), TALLIES), np.int64),
        lateness=np.zeros(LATENESS_BUCKETS, np.int64),
        events=np.zeros((256, libc.EPOLL_EVENT_WORDS), np.int32),
        moment=np.zeros(3, np.int64),
        said=np.zeros(SAID_BYTES // 8, np.int64),
    )


def _sample() -> World:
    sizes = dict.fromkeys(("frames", "lines", "ports", "highest_fd", "switches", "routers", "macs", "neighbours"), 1)
    return empty_world(**sizes)


world_at = pointer_maker(shared_type(_sample()))
