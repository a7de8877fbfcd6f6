"""What guests and their calendar say to each other, in compiled code.

A guest's clock speaks messages of 16 bytes, each of which is acknowledged (include/uapi/linux/um_timetravel.h).
Its network interface kicks, and is interrupted, by messages of vhost-user with in-band notifications (QEMU:
docs/interop/vhost-user.rst), each of which is answered.
"""

from __future__ import annotations

import numpy as np

from hostemu.gine import libc
from hostemu.gine.frames import signed
from hostemu.gine.transmit import release, take_slot
from hostemu.gine.world import NONE, World
from hostemu.lines.compiling import compilable
from hostemu.sim.virtual.rings import (
    TOO_LONG,
    give_back,
    next_chain,
    put_frame,
    take_frame,
    wants_interrupt,
)
from hostemu.sim.virtual.tables import ANSWERING, FOREVER_NS, RUNNING, RX, TX, WAITING, Machines

ACK, START, REQUEST, WAIT, GET, UPDATE, RUN, FREE_UNTIL, GET_TOD = range(9)
MESSAGE_BYTES = 16
WORDS = MESSAGE_BYTES // 4

VRING_KICK = 35  # of the guest's interface to us
VRING_CALL = 4  # of ours to the guest's
NOTICE_BYTES = 20
HEADER_WORDS = 3
VERSION, REPLY, NEED_REPLY = 1, 4, 8

_LOW = 0xFFFF_FFFF


@compilable
def _say(machines: Machines, at: int, operation: int, seq: int, time_ns: int) -> None:
    """Write message number `at` of an answer."""
    answer = machines.answer
    answer[WORDS * at] = operation
    answer[WORDS * at + 1] = seq & _LOW
    answer[WORDS * at + 2] = time_ns & _LOW
    answer[WORDS * at + 3] = time_ns >> 32


@compilable
def _send(machines: Machines, fd: int, length: int) -> None:
    """Send the answer.  A guest that cannot take it is at its end, which its descriptor tells."""
    libc.write(np.int32(fd), machines.answer.ctypes.data, np.uint64(length))


@compilable
def hear_clock(machines: Machines, guest_id: int) -> bool:
    """Read and acknowledge what a guest's clock says; False when there is nothing more to come."""
    words = machines.words
    guest = machines.guests[guest_id]
    got = libc.read(np.int32(guest.clock_fd), words.ctypes.data, np.uint64(4 * len(words)))
    if got <= 0:
        return False
    answers = 0
    for k in range(got // MESSAGE_BYTES):
        machines.calendar[0].messages += 1
        operation = signed(words[WORDS * k])
        if operation == ACK:
            continue
        time_ns = signed(words[WORDS * k + 2]) | signed(words[WORDS * k + 3]) << 32
        said_ns = 0
        if operation == REQUEST:
            guest.req_ns = time_ns if time_ns >= 0 else FOREVER_NS
        elif operation == WAIT:
            guest.state = WAITING
        elif operation == GET:
            said_ns = guest.now_ns
        elif operation == UPDATE:
            guest.now_ns = max(guest.now_ns, time_ns)
        elif operation == GET_TOD:
            said_ns = machines.calendar[0].tod_ns + guest.now_ns
        _say(machines, answers, ACK, signed(words[WORDS * k + 1]), said_ns)
        answers += 1
    if answers > 0:
        _send(machines, guest.clock_fd, answers * MESSAGE_BYTES)
    return True


@compilable
def hear_kick(world: World, machines: Machines, guest_id: int) -> int:
    """Read a notice of the guest's interface, and its frames.

    The bytes that were read and are none of ours; NONE when there is nothing more to come.
    """
    words = machines.words
    guest = machines.guests[guest_id]
    got = libc.read(np.int32(guest.kick_fd), words.ctypes.data, np.uint64(NOTICE_BYTES))
    if got <= 0:
        return NONE
    if got < NOTICE_BYTES or words[0] != VRING_KICK:
        return int(got)
    machines.calendar[0].messages += 1
    if words[HEADER_WORDS] == TX:
        _collect(world, machines, guest_id)
    _answer_kick(machines, guest.kick_fd)
    return 0


@compilable
def _answer_kick(machines: Machines, fd: int) -> None:
    answer = machines.answer
    answer[0] = VRING_KICK
    answer[1] = VERSION | REPLY
    answer[2] = 8
    answer[3] = 0
    answer[4] = 0
    _send(machines, fd, NOTICE_BYTES)


@compilable
def _collect(world: World, machines: Machines, guest_id: int) -> None:
    """Take the frames that a guest sends now."""
    guest = machines.guests[guest_id]
    taken = 0
    while True:
        head = next_chain(machines, guest_id, TX)
        if head == NONE:
            break
        taken += 1
        slot = take_slot(world)
        if slot != NONE:
            length = take_frame(world, machines, guest_id, TX, head, slot)
            if length == TOO_LONG:
                guest.too_long += 1
                release(world, slot)
            else:
                world.frames.length[slot] = length
                machines.at_ns[slot] = guest.now_ns
                machines.following[slot] = NONE
                if guest.sent_first == NONE:
                    guest.sent_first = slot
                else:
                    machines.following[guest.sent_last] = slot
                guest.sent_last = slot
        give_back(machines, guest_id, TX, head, 0)
    if taken > 0 and wants_interrupt(machines, guest_id, TX):
        guest.sent_irq = 1


@compilable
def interrupt(machines: Machines, guest_id: int, queue: int) -> None:
    """Tell a guest that waits of something in one of its queues; it says when it knows."""
    guest = machines.guests[guest_id]
    answer = machines.answer
    answer[0] = VRING_CALL
    answer[1] = VERSION | NEED_REPLY
    answer[2] = 8
    answer[3] = queue
    answer[4] = 0
    guest.state = ANSWERING
    machines.calendar[0].calls += 1
    _send(machines, guest.call_fd, NOTICE_BYTES)


@compilable
def hear_answer(machines: Machines, guest_id: int) -> bool:
    """A guest knows of its interrupt; False when there is nothing more to come."""
    guest = machines.guests[guest_id]
    words = machines.words
    if libc.read(np.int32(guest.call_fd), words.ctypes.data, np.uint64(4 * len(words))) <= 0:
        return False
    machines.calendar[0].messages += 1
    if guest.state == ANSWERING:
        guest.state = WAITING
    return True


@compilable
def next_moment(machines: Machines, guest_id: int) -> int:
    """When something happens at a guest that waits."""
    guest = machines.guests[guest_id]
    first_ns = guest.req_ns
    if guest.first != NONE:
        first_ns = min(first_ns, max(machines.at_ns[guest.first], guest.horizon_ns))
    if guest.sent_irq or guest.poked:
        first_ns = min(first_ns, max(guest.now_ns, guest.horizon_ns))
    return int(first_ns)


@compilable
def step(world: World, machines: Machines, guest_id: int) -> None:
    """Have a guest that waits do what comes next, or park it until the window's end.

    It is never interrupted at a moment that its own clock may have passed: horizon_ns.
    """
    calendar = machines.calendar[0]
    guest = machines.guests[guest_id]
    while guest.state == WAITING:
        at_ns = next_moment(machines, guest_id)
        if at_ns >= calendar.window_end_ns:
            guest.parked = 1
            calendar.active -= 1
            return
        guest.now_ns = max(guest.now_ns, at_ns)
        if guest.first != NONE and max(machines.at_ns[guest.first], guest.horizon_ns) <= guest.now_ns:
            _hand_over(world, machines, guest_id)
        elif guest.sent_irq:
            guest.sent_irq = 0
            interrupt(machines, guest_id, TX)
        elif guest.poked:
            guest.poked = 0
            interrupt(machines, guest_id, RX)
        else:
            _let_run(machines, guest_id)


@compilable
def _hand_over(world: World, machines: Machines, guest_id: int) -> None:
    """Give a guest the frames that have come by its time."""
    guest = machines.guests[guest_id]
    given = False
    while guest.first != NONE and machines.at_ns[guest.first] <= guest.now_ns:
        slot = guest.first
        guest.first = machines.following[slot]
        if guest.first == NONE:
            guest.last = NONE
        if machines.at_ns[slot] < guest.now_ns:
            guest.late += 1
        written = put_frame(world, machines, guest_id, slot)
        if written == NONE:
            guest.no_buffer += 1
        elif written == TOO_LONG:
            guest.too_long += 1
        else:
            machines.calendar[0].frames_received += 1
            given = True
        release(world, slot)
    if given and wants_interrupt(machines, guest_id, RX):
        interrupt(machines, guest_id, RX)


@compilable
def _let_run(machines: Machines, guest_id: int) -> None:
    """Let a guest run from the moment that it asked for, freely until its next frame or the window's end."""
    calendar = machines.calendar[0]
    guest = machines.guests[guest_id]
    free_ns = calendar.window_end_ns
    if guest.first != NONE:
        free_ns = min(free_ns, machines.at_ns[guest.first])
    guest.req_ns = FOREVER_NS
    guest.state = RUNNING
    calendar.runs += 1
    count = 0
    if free_ns > guest.now_ns:
        guest.horizon_ns = free_ns
        guest.seq += 1
        _say(machines, count, FREE_UNTIL, guest.seq, free_ns)
        count += 1
    else:
        guest.horizon_ns = guest.now_ns
    guest.seq += 1
    _say(machines, count, RUN, guest.seq, guest.now_ns)
    _send(machines, guest.clock_fd, (count + 1) * MESSAGE_BYTES)
