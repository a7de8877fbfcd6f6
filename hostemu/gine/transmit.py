"""Slots taken and released, and frames put on lines packet by packet."""

from __future__ import annotations

from hostemu.gine.frames import VNET_BYTES
from hostemu.gine.gso import cut, header_bytes, segment_bytes
from hostemu.gine.heap import heap_pop, heap_push
from hostemu.gine.world import NONE, World
from hostemu.lines.compiling import compilable
from hostemu.lines.model import deliver, offer
from hostemu.lines.spec import bytes_on_wire

# Packets of one super-frame travel together, and arrive with the last of them, where that delays none by more.
BUNCH_NS = 250_000


@compilable
def take_slot(world: World) -> int:
    """A free slot, or NONE; the want of one is counted."""
    state = world.state[0]
    if state.free == 0:
        state.pool_exhausted += 1
        return NONE
    state.free -= 1
    state.lowest_free = min(state.lowest_free, state.free)
    slot = int(world.frames.free[state.free])
    world.frames.own[slot] = 0
    return slot


@compilable
def release(world: World, slot: int) -> None:
    """Give a slot back."""
    state = world.state[0]
    world.frames.free[state.free] = slot
    state.free += 1


@compilable
def take_due(world: World) -> int:
    """The slot of the first frame of the heap, which has come to the end of its line."""
    slot = heap_pop(world.heap)
    deliver(world.lines[world.frames.line[slot]], world.frames.packets[slot], world.frames.wire_bytes[slot])
    return slot


@compilable
def transmit(world: World, line_id: int, slot: int, now_ns: int) -> None:
    """Offer the frame in `slot` to a line; the slot is the line's from here on."""
    if world.frames.packets[slot] > 1:
        _transmit_super_frame(world, line_id, slot, now_ns)
        return
    wire_bytes = bytes_on_wire(world.frames.length[slot] - VNET_BYTES)
    due_ns = offer(world.lines[line_id], now_ns, wire_bytes)
    if due_ns < 0:
        release(world, slot)
        return
    _launch(world, line_id, slot, due_ns, 1, wire_bytes)


@compilable
def _launch(world: World, line_id: int, slot: int, due_ns: int, packets: int, wire_bytes: int) -> None:
    world.frames.packets[slot] = packets
    world.frames.wire_bytes[slot] = wire_bytes
    world.frames.line[slot] = line_id
    heap_push(world.heap, due_ns, slot)


@compilable
def _launch_piece(
    world: World, line_id: int, slot: int, first: int, packets: int, due_ns: int, wire_bytes: int
) -> None:
    piece = take_slot(world)  # never NONE: _transmit_super_frame made sure
    octets = world.frames.octets
    world.frames.length[piece] = cut(octets[slot], world.frames.length[slot], first, packets, octets[piece])
    _launch(world, line_id, piece, due_ns, packets, wire_bytes)


@compilable
def _transmit_super_frame(world: World, line_id: int, slot: int, now_ns: int) -> None:
    """Offer each packet; runs of survivors that arrive close together go on as one frame."""
    packets = world.frames.packets[slot]
    if world.state[0].free < packets:
        world.state[0].pool_exhausted += 1
        world.state[0].packets_discarded += packets
        release(world, slot)
        return
    header = header_bytes(world.frames.octets[slot])
    size = segment_bytes(world.frames.octets[slot])
    payload = world.frames.length[slot] - header
    line = world.lines[line_id]
    first = run = run_bytes = run_begin_ns = run_due_ns = 0
    for k in range(packets):
        wire_bytes = bytes_on_wire(header - VNET_BYTES + min(size, payload - k * size))
        due_ns = offer(line, now_ns, wire_bytes)
        if run > 0 and (due_ns < 0 or due_ns - run_begin_ns > BUNCH_NS):
            _launch_piece(world, line_id, slot, first, run, run_due_ns, run_bytes)
            run = 0
        if due_ns < 0:
            continue
        if run == 0:
            first = k
            run_begin_ns = due_ns
            run_bytes = 0
        run += 1
        run_bytes += wire_bytes
        run_due_ns = due_ns
    if run == packets:
        _launch(world, line_id, slot, run_due_ns, packets, run_bytes)
        return
    if run > 0:
        _launch_piece(world, line_id, slot, first, run, run_due_ns, run_bytes)
    release(world, slot)
