"""The engine's loop, compiled and without the GIL: read frames, move them when they are due, write them."""

from __future__ import annotations

import numpy as np
from numba import carray

from hostemu.gine import libc
from hostemu.gine.frames import SLOT_BYTES, VNET_BYTES, signed
from hostemu.gine.gso import MALFORMED, count_packets
from hostemu.gine.heap import heap_length
from hostemu.gine.router import router_input, tick_routers
from hostemu.gine.simulated import serve_simulated, take_in
from hostemu.gine.switch import switch_input
from hostemu.gine.transmit import release, take_due, take_slot, transmit
from hostemu.gine.world import BUCKETS_PER_OCTAVE, NONE, TO_PORT, TO_SWITCH, World, world_at
from hostemu.lines.compiling import compilable, compiled

READS_PER_TURN = 16  # of one port, before due frames are served again
MOVES_PER_TURN = 64  # of due frames, before ports are looked at again
TICK_NS = 100_000_000
LATE_NS = 1_000_000
EARLY_MARGIN_NS = 15_000
LONGEST_TURN_NS = 20_000  # of one that serves nothing: what is beyond, the thread was not on a core

_EAGAIN, _ENXIO, _EIO, _ENETDOWN, _EINTR = 11, 6, 5, 100, 4
_BUCKET_BITS = BUCKETS_PER_OCTAVE.bit_length() - 1


@compilable
def now(world: World) -> int:
    """The monotonic clock, in ns."""
    libc.clock_gettime(libc.CLOCK_MONOTONIC, world.moment.ctypes.data)
    return int(world.moment[0] * 1_000_000_000 + world.moment[1])


@compilable
def _errno() -> int:
    return signed(carray(libc.errno_location(), (1,))[0])


@compilable
def lateness_bucket(late_ns: int) -> int:
    """Row of the histogram: 16 to an octave, so that a bucket is at most 1/16 wide."""
    value = max(0, late_ns)
    shift = 0
    while value >> shift >= 2 * BUCKETS_PER_OCTAVE:
        shift += 1
    return shift * BUCKETS_PER_OCTAVE + (value >> shift)


@compilable
def _slot_address(world: World, slot: int) -> int:
    return int(world.frames.octets.ctypes.data + np.uintp(slot * SLOT_BYTES))


@compilable
def _read_port(world: World, port_id: int) -> None:
    """Read a bounded number of frames and put each on the port's line."""
    port = world.ports[port_id]
    for _ in range(READS_PER_TURN):
        slot = take_slot(world)
        if slot == NONE:
            return
        length = libc.read(np.int32(port.fd), _slot_address(world, slot), np.uint64(SLOT_BYTES))
        if length <= 0:
            if length == 0 or not _is_passing(_errno()):
                _close_port(world, port_id)
            release(world, slot)
            return
        now_ns = now(world)  # a moment from before the read would let the frame leave too early
        world.state[0].frames_read += 1
        packets = count_packets(world.frames.octets[slot], length)
        if packets == MALFORMED:
            port.malformed += 1
            release(world, slot)
            continue
        world.frames.length[slot] = length
        world.frames.packets[slot] = packets
        port.packets_read += packets
        port.bytes_read += length - VNET_BYTES
        transmit(world, port.line, slot, now_ns)


@compilable
def _is_passing(errno: int) -> bool:
    return errno in (_EAGAIN, _EINTR, _ENETDOWN)


@compilable
def _close_port(world: World, port_id: int) -> None:
    """The interface is gone: no longer listen to it."""
    port = world.ports[port_id]
    port.closed = 1
    libc.epoll_ctl(np.int32(world.state[0].epoll), libc.EPOLL_CTL_DEL, np.int32(port.fd), np.uintp(0))


@compilable
def _write_port(world: World, port_id: int, slot: int, due_ns: int) -> None:
    """Hand a frame to the guest, and note how late it is."""
    state = world.state[0]
    port = world.ports[port_id]
    packets = world.frames.packets[slot]
    length = world.frames.length[slot]
    late_ns = now(world) - due_ns
    world.lateness[lateness_bucket(late_ns)] += 1
    state.late_max_ns = max(state.late_max_ns, late_ns)
    if late_ns > LATE_NS:
        state.late_over_1ms += 1
    if libc.write(np.int32(port.fd), _slot_address(world, slot), np.uint64(length)) == length:
        state.frames_written += 1
        port.packets_written += packets
        port.bytes_written += length - VNET_BYTES
    else:
        port.last_errno = _errno()
        if port.last_errno in (_EIO, _ENXIO, _ENETDOWN):
            port.down_errors += packets
            state.down_errors += packets
        else:
            port.write_errors += packets
            state.write_errors += packets
    release(world, slot)


@compilable
def _arrive(world: World) -> None:
    """The first frame of the heap has come to the end of its line."""
    due_ns = world.heap.due_ns[0]
    slot = take_due(world)
    line_id = world.frames.line[slot]
    hop = world.hops[line_id]
    if hop.kind == TO_PORT:
        if world.ports[hop.node].call == 0:
            _write_port(world, hop.node, slot, due_ns)
        else:
            take_in(world, hop.node, slot, due_ns)
    elif hop.kind == TO_SWITCH:
        switch_input(world, hop.node, line_id, slot, due_ns)
    else:
        router_input(world, hop.node, slot, due_ns)


@compilable
def _serve_due(world: World) -> int:
    """Move frames that are due; how many there were."""
    now_ns = now(world)
    serve_simulated(world, now_ns)
    for moved in range(MOVES_PER_TURN):
        if heap_length(world.heap) == 0 or world.heap.due_ns[0] > now_ns:
            return moved
        _arrive(world)
    return MOVES_PER_TURN


@compilable
def _listen(world: World) -> int:
    """Serve the ports that have frames; how many there were, or NONE when the kernel refused."""
    events = world.events
    ready = libc.epoll_wait(np.int32(world.state[0].epoll), events.ctypes.data, np.int32(len(events)), np.int32(0))
    if ready < 0 and _errno() != _EINTR:
        world.state[0].failed_errno = _errno()
        return NONE
    for k in range(ready):
        fd = events[k, libc.EPOLL_DATA_WORD]
        if fd != world.state[0].wake_fd:
            _read_port(world, world.port_of_fd[fd])
            _serve_due(world)
    return max(0, int(ready))


@compilable
def _rest(world: World, moved: int) -> None:
    """Sleep until a frame comes in, or until shortly before one is due; what is left of the time is spun away.

    moved: frames that were due in this turn; one without any was spent for nothing.
    """
    state = world.state[0]
    now_ns = now(world)
    wake_ns = min(state.next_tick_ns, state.simulated_ns)
    if heap_length(world.heap) > 0:
        wake_ns = min(wake_ns, world.heap.due_ns[0] - state.early_ns)
    if wake_ns <= now_ns:
        if moved == 0:
            state.spun_ns += min(now_ns - state.turn_ns, LONGEST_TURN_NS)
        state.turn_ns = now_ns
        return
    state.wakeups += 1
    wait_ns = min(wake_ns - now_ns, TICK_NS)
    world.moment[0] = 0
    world.moment[1] = wait_ns
    world.moment[2] = state.epoll | libc.EPOLLIN << 32
    pollfd = world.moment.ctypes.data + np.uintp(16)
    timed_out = libc.ppoll(pollfd, np.uint64(1), world.moment.ctypes.data, np.uintp(0)) == 0
    state.turn_ns = now(world)
    if timed_out:
        state.early_ns = adapt_early_ns(state.early_ns, state.turn_ns - wake_ns, state.longest_early_ns)


@compilable
def adapt_early_ns(early_ns: int, overslept_ns: int, longest_ns: int) -> int:
    """How early to wake up next time, so that most sleeps end before the frame is due.

    Goes up by a quarter of what was missing and down by 1/64: it settles near the longer of the usual delays.
    """
    wanted_ns = overslept_ns + EARLY_MARGIN_NS
    if wanted_ns > early_ns:
        return min(longest_ns, early_ns + (wanted_ns - early_ns + 3) // 4)
    return early_ns - (early_ns - wanted_ns) // 64


@compiled
def run(address: int) -> None:
    """Carry frames in the world at this address until its state says stop, or the kernel has refused to listen."""
    world = world_at(address)
    state = world.state[0]
    state.turn_ns = now(world)
    while state.stop == 0:
        moved = _serve_due(world)
        ready = _listen(world)
        if ready < 0:
            return
        now_ns = now(world)
        if now_ns >= state.next_tick_ns:
            tick_routers(world, now_ns)
            state.next_tick_ns = now_ns + TICK_NS
        if ready == 0:
            _rest(world, moved)
        else:
            state.turn_ns = now_ns
