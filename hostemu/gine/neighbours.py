"""Next hops of the routers: a table of who is where, and the packets that wait to learn it.

States and times follow neighbour discovery (RFC 4861, 10) for ARP too.
"""

from __future__ import annotations

import numpy as np

from hostemu.gine.frames import BROADCAST_MAC, DESTINATION_MAC, SOURCE_MAC, put_mac, signed
from hostemu.gine.messages import ARP_REQUEST, write_arp, write_solicitation
from hostemu.gine.transmit import release, take_slot, transmit
from hostemu.gine.world import (
    ASKING,
    DROP_NO_ROOM,
    FAILED,
    FORWARDED,
    FREE,
    HELD,
    HELD_PER_NEIGHBOUR,
    KNOWN,
    NONE,
    ORIGINATED,
    STATIC,
    World,
)
from hostemu.lines.compiling import compilable

PROBES = 32  # rows of the table that an address may be in
ASK_AGAIN_NS = 1_000_000_000  # RETRANS_TIMER
ASKS = 3  # MAX_MULTICAST_SOLICIT
REFRESH_NS = 30_000_000_000  # REACHABLE_TIME; from then on an address is still used, but asked for again
FORGET_NS = 90_000_000_000

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_V4_HIGH = np.uint64(0xFFFF)
_32 = np.uint64(32)


@compilable
def is_v4(high: np.uint64, low: np.uint64) -> bool:
    """Is this an IPv4 address in 128 bits?"""
    return bool(high == np.uint64(0) and low >> _32 == _V4_HIGH)


@compilable
def _first_row(world: World, interface: int, high: np.uint64, low: np.uint64) -> int:
    mixed = (high * _GOLDEN) ^ low
    mixed = (mixed ^ np.uint64(interface)) * _GOLDEN
    return signed(mixed >> np.uint64(33)) & (len(world.neighbours) - 1)


@compilable
def find_neighbour(world: World, interface: int, high: np.uint64, low: np.uint64) -> int:
    """The row of an address, or NONE."""
    first = _first_row(world, interface, high, low)
    for k in range(PROBES):
        row = (first + k) & (len(world.neighbours) - 1)
        entry = world.neighbours[row]
        if entry.state == FREE:
            return NONE
        if entry.interface == interface and entry.high == high and entry.low == low:
            return row
    return NONE


@compilable
def add_neighbour(world: World, interface: int, high: np.uint64, low: np.uint64) -> int:
    """A row for an address without one: free, or failed, or else the one learnt longest ago; NONE if all are busy."""
    first = _first_row(world, interface, high, low)
    best = NONE
    for k in range(PROBES):
        row = (first + k) & (len(world.neighbours) - 1)
        state = world.neighbours[row].state
        if state in (FREE, FAILED):
            best = row
            break
        if state == KNOWN and (best == NONE or world.neighbours[row].seen_ns < world.neighbours[best].seen_ns):
            best = row
    if best != NONE:
        entry = world.neighbours[best]
        entry.state = FAILED
        entry.interface = interface
        entry.high = high
        entry.low = low
        entry.held = 0
    return best


@compilable
def send_to_neighbour(world: World, route_id: int, high: np.uint64, low: np.uint64, slot: int, now_ns: int) -> None:
    """Send a packet to the next hop (high, low) on the route's interface, now or when it has answered."""
    interface = world.routes[route_id].interface
    row = find_neighbour(world, interface, high, low)
    if row == NONE:
        row = add_neighbour(world, interface, high, low)
    if row == NONE:
        drop_packet(world, interface, slot, DROP_NO_ROOM)
        return
    entry = world.neighbours[row]
    age_ns = now_ns - entry.seen_ns
    if entry.state == STATIC:
        _send(world, interface, entry.mac, slot, now_ns)
    elif entry.state == KNOWN and age_ns < FORGET_NS:
        _send(world, interface, entry.mac, slot, now_ns)
        if age_ns > REFRESH_NS and now_ns - entry.asked_ns > ASK_AGAIN_NS:
            entry.route = route_id
            _ask(world, row, now_ns)
    else:
        if entry.state != ASKING:
            _begin_asking(world, row, route_id, now_ns)
        _hold(world, row, slot)


@compilable
def drop_packet(world: World, interface: int, slot: int, reason: int) -> None:
    """Count and release; packets that the router made itself were never received, so are not counted."""
    if world.frames.own[slot] == 0:
        node = world.routers[world.interfaces[interface].router].node
        world.tally[node, reason] += world.frames.packets[slot]
    release(world, slot)


@compilable
def _send(world: World, interface: int, mac: int, slot: int, now_ns: int) -> None:
    out = world.interfaces[interface]
    octets = world.frames.octets[slot]
    put_mac(octets, DESTINATION_MAC, mac)
    put_mac(octets, SOURCE_MAC, out.mac)
    count = ORIGINATED if world.frames.own[slot] else FORWARDED
    world.tally[world.routers[out.router].node, count] += world.frames.packets[slot]
    transmit(world, out.line, slot, now_ns)


@compilable
def send_own(world: World, interface: int, slot: int, length: int, now_ns: int) -> None:
    """Send a frame that the router made, its Ethernet header included."""
    out = world.interfaces[interface]
    world.frames.length[slot] = length
    world.frames.packets[slot] = 1
    world.tally[world.routers[out.router].node, ORIGINATED] += 1
    transmit(world, out.line, slot, now_ns)


@compilable
def _count_held(world: World, row: int, slot: int, change: int) -> None:
    if world.frames.own[slot] == 0:
        node = world.routers[world.interfaces[world.neighbours[row].interface].router].node
        world.tally[node, HELD] += change * world.frames.packets[slot]


@compilable
def _hold(world: World, row: int, slot: int) -> None:
    """Keep a packet for later; when there are too many the oldest goes (RFC 4861, 7.2.2)."""
    entry = world.neighbours[row]
    if entry.held == HELD_PER_NEIGHBOUR:
        _count_held(world, row, world.held[row, 0], -1)
        drop_packet(world, entry.interface, world.held[row, 0], DROP_NO_ROOM)
        for k in range(HELD_PER_NEIGHBOUR - 1):
            world.held[row, k] = world.held[row, k + 1]
        entry.held -= 1
    world.held[row, entry.held] = slot
    entry.held += 1
    _count_held(world, row, slot, 1)


@compilable
def take_held(world: World, row: int, k: int) -> int:
    """The slot of the k-th packet that waits for a neighbour; the caller disposes of it."""
    slot = int(world.held[row, k])
    _count_held(world, row, slot, -1)
    return slot


@compilable
def learn_neighbour(
    world: World, interface: int, high: np.uint64, low: np.uint64, mac: int, may_add: bool, now_ns: int
) -> None:
    """An address has told where it is; the packets that waited for it go out."""
    row = find_neighbour(world, interface, high, low)
    if row == NONE and may_add:
        row = add_neighbour(world, interface, high, low)
    if row == NONE or world.neighbours[row].state == STATIC:
        return
    entry = world.neighbours[row]
    entry.state = KNOWN
    entry.mac = mac
    entry.seen_ns = now_ns
    waiting = entry.held
    entry.held = 0
    for k in range(waiting):
        _send(world, interface, mac, take_held(world, row, k), now_ns)


@compilable
def _begin_asking(world: World, row: int, route_id: int, now_ns: int) -> None:
    entry = world.neighbours[row]
    entry.state = ASKING
    entry.route = route_id
    entry.asked = 0
    if entry.listed == 0:
        entry.listed = 1
        world.asking[world.state[0].asking] = row
        world.state[0].asking += 1
    _ask(world, row, now_ns)


@compilable
def _ask(world: World, row: int, now_ns: int) -> None:
    entry = world.neighbours[row]
    entry.asked += 1
    entry.asked_ns = now_ns
    slot = take_slot(world)
    if slot == NONE:
        return
    octets = world.frames.octets[slot]
    route = world.routes[entry.route]
    mac = world.interfaces[entry.interface].mac
    if is_v4(entry.high, entry.low):
        length = write_arp(octets, ARP_REQUEST, mac, route.source_low, 0, entry.low, BROADCAST_MAC)
    else:
        length = write_solicitation(octets, mac, route.source_high, route.source_low, entry.high, entry.low)
    send_own(world, entry.interface, slot, length, now_ns)


@compilable
def is_overdue(world: World, row: int, now_ns: int) -> bool:
    """Has a neighbour that is being asked for not answered in time?"""
    return bool(now_ns - world.neighbours[row].asked_ns >= ASK_AGAIN_NS)


@compilable
def ask_again(world: World, row: int, now_ns: int) -> bool:
    """Ask once more; False when it has been asked for often enough."""
    if world.neighbours[row].asked >= ASKS:
        return False
    _ask(world, row, now_ns)
    return True
