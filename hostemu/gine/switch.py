"""The learning switch (IEEE 802.1Q, 8.7 and 8.8, without VLANs and without spanning tree)."""

from __future__ import annotations

import numpy as np

from hostemu.gine.frames import DESTINATION_MAC, SOURCE_MAC, copy_octets, get_mac, signed
from hostemu.gine.transmit import release, take_slot, transmit
from hostemu.gine.world import (
    COPIES,
    DROP_NO_SLOT,
    DROP_SAME_SIDE,
    FLOODED,
    FORWARDED,
    NONE,
    RECEIVED,
    World,
)
from hostemu.lines.compiling import compilable

AGEING_NS = 300 * 1_000_000_000  # IEEE 802.1Q, table 8-6: 300 s
PROBES = 32  # rows of the table that an address may be in

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_GROUP_BIT = 1 << 40
_NO_KEY = np.uint64(0)


@compilable
def _first_row(world: World, key: np.uint64) -> int:
    """The table's size is a power of two; the row is taken from the product's upper half."""
    mixed = signed((key * _GOLDEN) >> np.uint64(33))
    return mixed & (len(world.macs) - 1)


@compilable
def mac_key(switch_id: int, mac: int) -> np.uint64:
    """48 bits of address, 16 of switch; never 0 as switches count from 0 and 0 is added 1."""
    return np.uint64(mac) << np.uint64(16) | np.uint64(switch_id + 1)


@compilable
def learn_mac(world: World, key: np.uint64, line_id: int, now_ns: int) -> None:
    """Remember where a source is; when its rows are full, the one seen longest ago gives way."""
    first = _first_row(world, key)
    oldest = first
    for k in range(PROBES):
        row = (first + k) & (len(world.macs) - 1)
        entry = world.macs[row]
        if entry.key == key or entry.key == _NO_KEY:
            oldest = row
            break
        if entry.seen_ns < world.macs[oldest].seen_ns:
            oldest = row
    entry = world.macs[oldest]
    entry.key = key
    entry.line = line_id
    entry.seen_ns = now_ns


@compilable
def find_mac(world: World, key: np.uint64, now_ns: int) -> int:
    """The line that leads to an address, or NONE."""
    first = _first_row(world, key)
    for k in range(PROBES):
        entry = world.macs[(first + k) & (len(world.macs) - 1)]
        if entry.key == key:
            return entry.line if now_ns - entry.seen_ns <= AGEING_NS else NONE
        if entry.key == _NO_KEY:
            return NONE
    return NONE


@compilable
def switch_input(world: World, switch_id: int, from_line: int, slot: int, now_ns: int) -> None:
    """A frame has come to a switch by `from_line`; back goes line from_line ^ 1."""
    tally = world.tally[world.switches[switch_id].node]
    packets = world.frames.packets[slot]
    tally[RECEIVED] += packets
    octets = world.frames.octets[slot]
    back = from_line ^ 1
    source = get_mac(octets, SOURCE_MAC)
    if source & _GROUP_BIT == 0:
        learn_mac(world, mac_key(switch_id, source), back, now_ns)
    destination = get_mac(octets, DESTINATION_MAC)
    out = NONE if destination & _GROUP_BIT else find_mac(world, mac_key(switch_id, destination), now_ns)
    if out == NONE:
        _flood(world, switch_id, back, slot, now_ns)
    elif out == back:
        tally[DROP_SAME_SIDE] += packets
        release(world, slot)
    else:
        tally[FORWARDED] += packets
        transmit(world, out, slot, now_ns)


@compilable
def _flood(world: World, switch_id: int, back: int, slot: int, now_ns: int) -> None:
    """A copy to each line but the one it came by."""
    switch = world.switches[switch_id]
    frames = world.frames
    tally = world.tally[switch.node]
    packets = frames.packets[slot]
    if world.state[0].free < switch.count:
        tally[DROP_NO_SLOT] += packets
        world.state[0].pool_exhausted += 1
        release(world, slot)
        return
    tally[FLOODED] += packets
    for k in range(switch.first, switch.first + switch.count):
        out = world.switch_lines[k]
        if out == back:
            continue
        twin = take_slot(world)
        if twin == NONE:
            break
        copy_octets(frames.octets[twin], 0, frames.octets[slot], 0, frames.length[slot])
        frames.length[twin] = frames.length[slot]
        frames.packets[twin] = packets
        tally[COPIES] += packets
        transmit(world, out, twin, now_ns)
    release(world, slot)
