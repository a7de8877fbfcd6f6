"""The calendar's side of guests' desks, in compiled code: turns, and frames into boxes and out of them."""

from __future__ import annotations

import numpy as np

from hostemu.gine import libc
from hostemu.gine.frames import SLOT_BYTES, signed
from hostemu.gine.transmit import release, take_slot
from hostemu.gine.world import NONE, World
from hostemu.lines.compiling import compilable
from hostemu.sim.virtual.tables import (
    BOX_BYTES,
    CALENDARS,
    DESK,
    FOREVER_NS,
    GUESTS,
    HALL,
    HAS_COME,
    IS_FULL,
    IS_SENT,
    LABEL_BYTES,
    LOOK,
    Machines,
)

_TURN_AT = int(DESK.fields["turn"][1])  # type: ignore[index]
_ARRIVALS_AT = int(HALL.fields["arrivals"][1])  # type: ignore[index]
_ASLEEP_AT = int(HALL.fields["is_asleep"][1])  # type: ignore[index]
_DESK_BYTES = DESK.itemsize
_FUTEX_BYTES = 4


@compilable
def _hall_word(machines: Machines, at: int) -> int:
    """The address of a word of the hall."""
    return int(machines.hall.ctypes.data) + at


@compilable
def _turn(machines: Machines, guest_id: int) -> int:
    """The address of the word that says whose turn it is."""
    return int(machines.desks.ctypes.data) + guest_id * _DESK_BYTES + _TURN_AT


# By memcpy: the compiler neither keeps such a number in a register nor moves other loads and stores across.
@compilable
def _load(machines: Machines, address: int, size: int) -> int:
    """The little-endian number of `size` bytes there."""
    machines.number[0] = 0
    libc.memcpy(machines.number.ctypes.data, np.uintp(address), np.uint64(size))
    return signed(machines.number[0])


@compilable
def _store(machines: Machines, address: int, size: int, value: int) -> None:
    machines.number[0] = value
    libc.memcpy(np.uintp(address), machines.number.ctypes.data, np.uint64(size))


@compilable
def arrivals(machines: Machines) -> int:
    """How often guests have handed their desks over."""
    return int(_load(machines, _hall_word(machines, _ARRIVALS_AT), _FUTEX_BYTES))


@compilable
def sleep_until_arrival(machines: Machines, seen: int, at_most_ms: int) -> None:
    """Until there are more arrivals than were seen."""
    machines.patience[0] = at_most_ms // 1000
    machines.patience[1] = at_most_ms % 1000 * 1_000_000
    _store(machines, _hall_word(machines, _ASLEEP_AT), _FUTEX_BYTES, 1)
    libc.syscall(
        libc.SYS_FUTEX,
        np.uintp(_hall_word(machines, _ARRIVALS_AT)),
        libc.FUTEX_WAIT,
        seen,
        machines.patience.ctypes.data,
    )
    _store(machines, _hall_word(machines, _ASLEEP_AT), _FUTEX_BYTES, 0)


@compilable
def has_arrived(machines: Machines, guest_id: int) -> bool:
    """Whether a guest that had its turn has handed its desk over."""
    guest = machines.guests[guest_id]
    return (
        guest.has_turn and guest.over == 0 and _load(machines, _turn(machines, guest_id), _FUTEX_BYTES) == CALENDARS
    )


@compilable
def _give_turn(machines: Machines, guest_id: int) -> None:
    machines.guests[guest_id].has_turn = 1
    machines.calendar[0].turns += 1
    address = _turn(machines, guest_id)
    _store(machines, address, _FUTEX_BYTES, GUESTS)
    libc.syscall(libc.SYS_FUTEX, np.uintp(address), libc.FUTEX_WAKE, 1, np.uintp(0))


@compilable
def receive(world: World, machines: Machines, guest_id: int) -> bool:
    """Take a desk that has been handed over; whether its guest waits for its clock, and is to be given a turn."""
    guest = machines.guests[guest_id]
    desk = machines.desks[guest_id]
    guest.has_turn = 0
    _empty_outbox(world, machines, guest_id)
    if desk.reason == IS_FULL:
        _give_turn(machines, guest_id)
        return False
    guest.req_ns = desk.wanted_ns
    return True


@compilable
def _empty_outbox(world: World, machines: Machines, guest_id: int) -> None:
    guest = machines.guests[guest_id]
    desk = machines.desks[guest_id]
    octets = machines.boxes[2 * guest_id + 1]
    at = 0
    while at < desk.out_bytes:
        sent_ns = _load(machines, int(octets.ctypes.data) + at, 8)
        word = _load(machines, int(octets.ctypes.data) + at + 8, 8)
        size, nic = word & 0xFFFF_FFFF, word >> 32
        slot = take_slot(world)
        if slot != NONE:
            target = world.frames.octets.ctypes.data + np.uintp(slot * SLOT_BYTES)
            libc.memcpy(target, octets.ctypes.data + np.uintp(at + LABEL_BYTES), np.uint64(size))
            world.frames.length[slot] = size
            machines.at_ns[slot] = sent_ns
            machines.port[slot] = guest.first_port + nic
            machines.following[slot] = NONE
            if guest.sent_first == NONE:
                guest.sent_first = slot
            else:
                machines.following[guest.sent_last] = slot
            guest.sent_last = slot
        at += LABEL_BYTES + _filled_up(size)
    desk.out_bytes = 0


@compilable
def _filled_up(size: int) -> int:
    return (size + 7) & ~7


@compilable
def next_moment(machines: Machines, guest_id: int) -> int:
    """When something happens at a guest that waits.

    It is never interrupted at a moment that its own clock may have passed: horizon_ns.
    """
    guest = machines.guests[guest_id]
    first_ns = guest.req_ns
    if guest.first != NONE:
        first_ns = min(first_ns, max(machines.at_ns[guest.first], guest.horizon_ns))
    if machines.desks[guest_id].is_owed or guest.poked:
        first_ns = min(first_ns, max(guest.now_ns, guest.horizon_ns))
    return int(first_ns)


@compilable
def step(world: World, machines: Machines, guest_id: int) -> None:
    """Have a guest that waits do what comes next, freely until its next frame or the window's end; or park it."""
    calendar = machines.calendar[0]
    guest = machines.guests[guest_id]
    desk = machines.desks[guest_id]
    at_ns = next_moment(machines, guest_id)
    if at_ns >= calendar.window_end_ns:
        guest.parked = 1
        calendar.active -= 1
        return
    guest.now_ns = max(guest.now_ns, at_ns)
    desk.calls = 0
    if guest.horizon_ns <= guest.now_ns:
        _fill_inbox(world, machines, guest_id)
        if desk.in_bytes > 0:
            desk.calls |= HAS_COME
        if desk.is_owed:
            desk.calls |= IS_SENT
        if guest.poked:
            guest.poked = 0
            desk.calls |= LOOK
    free_ns = calendar.window_end_ns
    if guest.first != NONE:
        free_ns = min(free_ns, machines.at_ns[guest.first])
    desk.now_ns = guest.now_ns
    desk.free_ns = free_ns
    guest.req_ns = FOREVER_NS
    guest.horizon_ns = max(free_ns, guest.now_ns)
    _give_turn(machines, guest_id)


@compilable
def _fill_inbox(world: World, machines: Machines, guest_id: int) -> None:
    """Lay the frames that have come by a guest's time into its inbox."""
    guest = machines.guests[guest_id]
    octets = machines.boxes[2 * guest_id]
    at = 0
    while guest.first != NONE and machines.at_ns[guest.first] <= guest.now_ns:
        slot = guest.first
        guest.first = machines.following[slot]
        if guest.first == NONE:
            guest.last = NONE
        if machines.at_ns[slot] < guest.now_ns:
            guest.late += 1
        size = int(world.frames.length[slot])
        if at + LABEL_BYTES + _filled_up(size) > BOX_BYTES:
            guest.no_buffer += 1  # nor has the guest as many
        else:
            _store(machines, int(octets.ctypes.data) + at, 8, machines.at_ns[slot])
            nic = int(machines.port[slot] - guest.first_port)
            _store(machines, int(octets.ctypes.data) + at + 8, 8, size | nic << 32)
            source = world.frames.octets.ctypes.data + np.uintp(slot * SLOT_BYTES)
            libc.memcpy(octets.ctypes.data + np.uintp(at + LABEL_BYTES), source, np.uint64(size))
            at += LABEL_BYTES + _filled_up(size)
        release(world, slot)
    machines.desks[guest_id].in_bytes = at
