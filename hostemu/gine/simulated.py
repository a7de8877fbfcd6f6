"""Hosts that are no processes: native code that answers frames, behind a port of its own.

Its function has this form (all numbers of 64 bits):

    int64_t call(void *handle, int64_t now_ns, const uint8_t *frame, int64_t bytes, uint8_t *said)

A frame has come, `virtio_net_hdr` in front; or, with NULL for it, the moment that the host has asked for (first, 0).
`said` has room for SAID_BYTES: first when the host wants to be called next at the latest (NEVER_NS: not at all), then
the frames that it sends, each behind its length and filled up to 8 bytes.  Returned are the bytes of all that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped,unused-ignore]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from hostemu.gine import libc
from hostemu.gine.frames import SLOT_BYTES, VNET_BYTES
from hostemu.gine.transmit import release, take_slot, transmit
from hostemu.gine.world import NEVER_NS, NONE, World
from hostemu.lines.compiling import compilable

_WORD_BYTES = 8


@intrinsic  # type: ignore[untyped-decorator,unused-ignore]
def _call(
    typing_context: Any, address: Any, handle: Any, now_ns: Any, frame: Any, size: Any, said: Any
) -> tuple[Any, Callable[..., Any]]:
    """Call native code by its address."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word = cgutils.intp_t
        kind = ir.FunctionType(word, [word] * 5)
        return builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), arguments[1:])

    return types.int64(*[types.int64] * 6), generate


@compilable
def call_simulated(world: World, port_id: int, slot: int, at_ns: int) -> None:
    """Hand a simulated host the frame in `slot` (NONE: its own moment has come), and put what it says on its line."""
    port = world.ports[port_id]
    octets = int(world.frames.octets.ctypes.data)
    said = int(world.said.ctypes.data)
    frame, length = 0, 0
    if slot != NONE:
        frame, length = octets + slot * SLOT_BYTES, int(world.frames.length[slot])
    total = _call(int(port.call), int(port.handle), int(at_ns), int(frame), int(length), said)
    port.next_ns = _number(world, 0)
    world.state[0].simulated_ns = min(world.state[0].simulated_ns, port.next_ns)
    at = _WORD_BYTES
    while at < total:
        length = _number(world, at)
        own = take_slot(world)
        if own != NONE:
            libc.memcpy(np.uintp(octets + own * SLOT_BYTES), np.uintp(said + at + _WORD_BYTES), np.uint64(length))
            world.frames.length[own] = length
            world.frames.packets[own] = 1
            world.state[0].frames_read += 1
            port.packets_read += 1
            port.bytes_read += length - VNET_BYTES
            transmit(world, port.line, own, at_ns)
        at += _WORD_BYTES + (length + 7 & ~7)


@compilable
def _number(world: World, at: int) -> int:
    return int(world.said[at // _WORD_BYTES])


@compilable
def take_in(world: World, port_id: int, slot: int, at_ns: int) -> None:
    """A frame has come to a simulated host."""
    port = world.ports[port_id]
    world.state[0].frames_written += 1
    port.packets_written += world.frames.packets[slot]
    port.bytes_written += world.frames.length[slot] - VNET_BYTES
    call_simulated(world, port_id, slot, at_ns)
    release(world, slot)


@compilable
def serve_simulated(world: World, now_ns: int) -> None:
    """Call the simulated hosts whose moments have come."""
    state = world.state[0]
    if state.simulated_ns > now_ns:
        return
    state.simulated_ns = NEVER_NS
    for port_id in range(len(world.ports)):
        port = world.ports[port_id]
        while port.call != 0 and port.next_ns <= now_ns:
            call_simulated(world, port_id, NONE, int(port.next_ns))
        if port.call != 0:
            state.simulated_ns = min(state.simulated_ns, port.next_ns)
