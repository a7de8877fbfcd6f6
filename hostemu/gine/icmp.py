"""The ICMP of a router: errors (RFC 792, RFC 4443, RFC 1812 4.3) and answers to echo requests."""

from __future__ import annotations

import numpy as np

from hostemu.gine.frames import (
    ETHERTYPE,
    FLAG_NEEDS_CSUM,
    IPV4,
    IPV6,
    NETWORK,
    VNET_FLAGS,
    Octets,
    clear_octets,
    copy_octets,
    get16,
    get32,
    get_half,
    ipv6_pseudo_sum,
    mapped_v4,
    patch_checksum,
    put16,
    put32,
    put_checksum,
    put_half,
    signed,
    start_frame,
)
from hostemu.gine.gso import cut
from hostemu.gine.messages import ICMPV6, ICMPV6_AT, write_ipv6_header
from hostemu.gine.neighbours import send_to_neighbour
from hostemu.gine.routes import find_route
from hostemu.gine.transmit import take_slot
from hostemu.gine.world import CONNECTED, GATEWAY, NONE, World
from hostemu.lines.compiling import compilable

ICMP = 1
ECHO_REQUEST_V4, ECHO_REPLY_V4 = 8, 0
ECHO_REQUEST_V6, ECHO_REPLY_V6 = 128, 129

# Type and code in one word, of ICMP and of ICMPv6.
TIME_EXCEEDED = (11 << 8 | 0, 3 << 8 | 0)
NO_ROUTE = (3 << 8 | 0, 1 << 8 | 0)
HOST_UNREACHABLE = (3 << 8 | 1, 1 << 8 | 3)
PORT_UNREACHABLE = (3 << 8 | 3, 1 << 8 | 4)

_TIME_TO_LIVE = 64
_QUOTED_V4_BYTES = 576 - 28  # RFC 1812, 4.3.2.3: as much as fits in 576 bytes
_QUOTED_V6_BYTES = 1280 - 48  # RFC 4443, 2.4 (c): as much as fits in the minimum MTU
_TIMESTAMP, _TIMESTAMP_REPLY = 13, 14


@compilable
def send_error(world: World, router_id: int, slot: int, words: tuple[int, int], now_ns: int) -> None:
    """Tell the sender of the packet in `slot` that it goes no further; the slot stays the caller's."""
    octets = world.frames.octets[slot]
    if world.frames.own[slot] or not _may_report(octets):
        return
    length = world.frames.length[slot]
    if world.frames.packets[slot] > 1:
        length = cut(octets, length, 0, 1, octets)  # the rest of it is lost anyway
    v4 = get16(octets, ETHERTYPE) == IPV4
    high = np.uint64(0) if v4 else get_half(octets, NETWORK + 8)
    low = mapped_v4(get32(octets, NETWORK + 12)) if v4 else get_half(octets, NETWORK + 16)
    route_id = find_route(world, router_id, high, low)
    if route_id == NONE or not (world.routes[route_id].kind == CONNECTED or world.routes[route_id].kind == GATEWAY):
        return
    error = take_slot(world)
    if error == NONE:
        return
    source_high = world.routes[route_id].source_high
    source_low = world.routes[route_id].source_low
    out = world.frames.octets[error]
    if v4:
        written = _write_error_v4(out, octets, length, words[0], source_low)
    else:
        written = _write_error_v6(out, octets, length, words[1], source_high, source_low)
    world.frames.length[error] = written
    send_own_packet(world, route_id, high, low, error, now_ns)


@compilable
def send_own_packet(world: World, route_id: int, high: np.uint64, low: np.uint64, slot: int, now_ns: int) -> None:
    """Send a packet that the router made, to (high, low) along a route."""
    world.frames.own[slot] = 1
    world.frames.packets[slot] = 1
    route = world.routes[route_id]
    if route.kind == GATEWAY:
        send_to_neighbour(world, route_id, route.via_high, route.via_low, slot, now_ns)
    else:
        send_to_neighbour(world, route_id, high, low, slot, now_ns)


@compilable
def _may_report(octets: Octets) -> bool:
    """No errors about errors, about fragments but the first, or to senders that are none (RFC 1122, 3.2.2)."""
    if get16(octets, ETHERTYPE) == IPV4:
        header = (signed(octets[NETWORK]) & 15) * 4
        if get16(octets, NETWORK + 6) & 0x1FFF:
            return False
        kind = signed(octets[NETWORK + header])
        query = kind in (ECHO_REQUEST_V4, ECHO_REPLY_V4, _TIMESTAMP, _TIMESTAMP_REPLY)
        return octets[NETWORK + 9] != ICMP or query
    return bool(octets[NETWORK + 6] != ICMPV6 or octets[ICMPV6_AT] >= ECHO_REQUEST_V6)


@compilable
def _write_error_v4(out: Octets, octets: Octets, length: int, word: int, source: np.uint64) -> int:
    """An ICMP error about the packet in `octets`; the frame's length."""
    quoted = min(get16(octets, NETWORK + 2), length - NETWORK, _QUOTED_V4_BYTES)
    start_frame(out, 0, 0, IPV4)
    clear_octets(out, NETWORK, 28)
    out[NETWORK] = 0x45
    put16(out, NETWORK + 2, 28 + quoted)
    out[NETWORK + 8] = _TIME_TO_LIVE
    out[NETWORK + 9] = ICMP
    put32(out, NETWORK + 12, signed(source & np.uint64(0xFFFFFFFF)))
    put32(out, NETWORK + 16, get32(octets, NETWORK + 12))
    put_checksum(out, NETWORK + 10, NETWORK, 20, 0)
    put16(out, NETWORK + 20, word)
    copy_octets(out, NETWORK + 28, octets, NETWORK, quoted)
    put_checksum(out, NETWORK + 22, NETWORK + 20, 8 + quoted, 0)
    return NETWORK + 28 + quoted


@compilable
def _write_error_v6(
    out: Octets, octets: Octets, length: int, word: int, source_high: np.uint64, source_low: np.uint64
) -> int:
    """An ICMPv6 error about the packet in `octets`; the frame's length."""
    quoted = min(40 + get16(octets, NETWORK + 4), length - NETWORK, _QUOTED_V6_BYTES)
    start_frame(out, 0, 0, IPV6)
    write_ipv6_header(out, 8 + quoted, ICMPV6, _TIME_TO_LIVE)
    put_half(out, NETWORK + 8, source_high)
    put_half(out, NETWORK + 16, source_low)
    copy_octets(out, NETWORK + 24, octets, NETWORK + 8, 16)
    clear_octets(out, ICMPV6_AT, 8)
    put16(out, ICMPV6_AT, word)
    copy_octets(out, ICMPV6_AT + 8, octets, NETWORK, quoted)
    put_checksum(out, ICMPV6_AT + 2, ICMPV6_AT, 8 + quoted, ipv6_pseudo_sum(out, 8 + quoted, ICMPV6))
    return ICMPV6_AT + 8 + quoted


@compilable
def _swap(octets: Octets, one: int, other: int, length: int) -> None:
    for k in range(length):
        octet = octets[one + k]
        octets[one + k] = octets[other + k]
        octets[other + k] = octet


@compilable
def turn_echo_v4(octets: Octets, header: int) -> None:
    """Make an echo request its reply, in place; `header` is the length of the IP header."""
    _swap(octets, NETWORK + 12, NETWORK + 16, 4)
    octets[NETWORK + 8] = _TIME_TO_LIVE
    put_checksum(octets, NETWORK + 10, NETWORK, header, 0)
    _turn_type(octets, NETWORK + header, ECHO_REPLY_V4)


@compilable
def turn_echo_v6(octets: Octets) -> None:
    """Make an echo request its reply, in place."""
    _swap(octets, NETWORK + 8, NETWORK + 24, 16)
    octets[NETWORK + 7] = _TIME_TO_LIVE
    _turn_type(octets, ICMPV6_AT, ECHO_REPLY_V6)


@compilable
def _turn_type(octets: Octets, at: int, kind: int) -> None:
    old = get16(octets, at)
    octets[at] = kind
    if octets[VNET_FLAGS] & FLAG_NEEDS_CSUM == 0:  # else it is yet to be filled in, by who has the frame last
        patch_checksum(octets, at + 2, old, get16(octets, at))
