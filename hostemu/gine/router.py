"""The router: IPv4 (RFC 1812) and IPv6 (RFC 8200) forwarding, without fragmentation and without options."""

from __future__ import annotations

import numpy as np

from hostemu.gine import icmp
from hostemu.gine.discovery import arp_input, discovery_input, is_discovery
from hostemu.gine.frames import (
    ARP,
    DESTINATION_MAC,
    ETHERTYPE,
    IPV4,
    IPV6,
    NETWORK,
    Octets,
    fold,
    get16,
    get32,
    get_half,
    get_mac,
    mapped_v4,
    patch_checksum,
    signed,
    word_sum,
)
from hostemu.gine.messages import ICMPV6
from hostemu.gine.neighbours import (
    ask_again,
    drop_packet,
    is_overdue,
    send_to_neighbour,
    take_held,
)
from hostemu.gine.routes import find_route
from hostemu.gine.transmit import release
from hostemu.gine.world import (
    ASKING,
    BROADCAST,
    CONSUMED,
    DROP_MALFORMED,
    DROP_NO_ROUTE,
    DROP_NOT_FOR_US,
    DROP_NOT_ROUTABLE,
    DROP_TTL_EXCEEDED,
    DROP_UNKNOWN_PROTOCOL,
    DROP_UNREACHABLE,
    FAILED,
    GATEWAY,
    LOCAL,
    NONE,
    RECEIVED,
    World,
)
from hostemu.lines.compiling import compilable

_TCP, _UDP = 6, 17
_GROUP_BIT = 1 << 40
_V6_HEADER_BYTES = 40


@compilable
def router_input(world: World, interface: int, slot: int, now_ns: int) -> None:
    """A frame has come to an interface of a router."""
    octets = world.frames.octets[slot]
    own = world.interfaces[interface]
    world.frames.own[slot] = 0
    world.tally[world.routers[own.router].node, RECEIVED] += world.frames.packets[slot]
    destination = get_mac(octets, DESTINATION_MAC)
    to_group = destination & _GROUP_BIT != 0
    protocol = get16(octets, ETHERTYPE)
    if destination != own.mac and not to_group:
        drop_packet(world, interface, slot, DROP_NOT_FOR_US)
    elif protocol == ARP:
        _finish(world, interface, slot, arp_input(world, interface, slot, now_ns))
    elif protocol == IPV4:
        _ipv4_input(world, interface, slot, to_group, now_ns)
    elif protocol == IPV6:
        _ipv6_input(world, interface, slot, to_group, now_ns)
    else:
        drop_packet(world, interface, slot, DROP_UNKNOWN_PROTOCOL)


@compilable
def _finish(world: World, interface: int, slot: int, understood: bool) -> None:
    """The frame was for the router itself."""
    drop_packet(world, interface, slot, CONSUMED if understood else DROP_MALFORMED)


@compilable
def _is_sound_v4(octets: Octets, length: int) -> bool:
    """RFC 1812, 5.2.2: length, checksum, version, header length, total length."""
    if length < NETWORK + 20 or octets[NETWORK] >> 4 != 4:
        return False
    header = (signed(octets[NETWORK]) & 15) * 4
    total = get16(octets, NETWORK + 2)
    if header < 20 or total < header or NETWORK + total > length:
        return False
    return fold(word_sum(octets, NETWORK, header)) == 0xFFFF


@compilable
def _is_host_v4(address: int) -> bool:
    """Neither this-network, nor loopback, nor multicast, reserved or broadcast (RFC 6890)."""
    first = address >> 24
    return first != 0 and first != 127 and first < 224


@compilable
def _is_routable_v6(octets: Octets, at: int) -> bool:
    """Neither multicast, nor link-local, nor ::/64 with :: and ::1 in it (RFC 6890)."""
    high = get_half(octets, at)
    multicast = octets[at] == 0xFF
    link_local = octets[at] == 0xFE and octets[at + 1] & 0xC0 == 0x80
    return not (multicast or link_local or high == np.uint64(0))


@compilable
def _ipv4_input(world: World, interface: int, slot: int, to_group: bool, now_ns: int) -> None:
    octets = world.frames.octets[slot]
    if not _is_sound_v4(octets, world.frames.length[slot]):
        drop_packet(world, interface, slot, DROP_MALFORMED)
        return
    destination = get32(octets, NETWORK + 16)
    if to_group or not _is_host_v4(destination) or not _is_host_v4(get32(octets, NETWORK + 12)):
        drop_packet(world, interface, slot, DROP_NOT_ROUTABLE)
        return
    _route(world, interface, slot, np.uint64(0), mapped_v4(destination), True, now_ns)


@compilable
def _ipv6_input(world: World, interface: int, slot: int, to_group: bool, now_ns: int) -> None:
    octets = world.frames.octets[slot]
    length = world.frames.length[slot]
    header_end = NETWORK + _V6_HEADER_BYTES
    if length < header_end or octets[NETWORK] >> 4 != 6 or header_end + get16(octets, NETWORK + 4) > length:
        drop_packet(world, interface, slot, DROP_MALFORMED)
    elif is_discovery(octets):
        _finish(world, interface, slot, discovery_input(world, interface, slot, now_ns))
    elif to_group or not _is_routable_v6(octets, NETWORK + 24) or not _is_routable_v6(octets, NETWORK + 8):
        drop_packet(world, interface, slot, DROP_NOT_ROUTABLE)
    else:
        high = get_half(octets, NETWORK + 24)
        low = get_half(octets, NETWORK + 32)
        _route(world, interface, slot, high, low, False, now_ns)


@compilable
def _route(world: World, interface: int, slot: int, high: np.uint64, low: np.uint64, v4: bool, now_ns: int) -> None:
    """Deliver here, forward, or refuse."""
    router_id = world.interfaces[interface].router
    route_id = find_route(world, router_id, high, low)
    kind = NONE if route_id == NONE else world.routes[route_id].kind
    if kind == LOCAL:
        _local_input(world, interface, slot, v4, now_ns)
    elif kind == BROADCAST:
        drop_packet(world, interface, slot, DROP_NOT_ROUTABLE)
    elif kind == NONE:
        icmp.send_error(world, router_id, slot, icmp.NO_ROUTE, now_ns)
        drop_packet(world, interface, slot, DROP_NO_ROUTE)
    elif not _decrement(world.frames.octets[slot], v4):
        icmp.send_error(world, router_id, slot, icmp.TIME_EXCEEDED, now_ns)
        drop_packet(world, interface, slot, DROP_TTL_EXCEEDED)
    elif kind == GATEWAY:
        route = world.routes[route_id]
        send_to_neighbour(world, route_id, route.via_high, route.via_low, slot, now_ns)
    else:
        send_to_neighbour(world, route_id, high, low, slot, now_ns)


@compilable
def _decrement(octets: Octets, v4: bool) -> bool:
    """Take one from time to live or hop limit; False, and nothing done, when none would be left."""
    at = NETWORK + (8 if v4 else 7)
    if octets[at] <= 1:
        return False
    if not v4:
        octets[at] -= 1
        return True
    old = get16(octets, at)
    octets[at] -= 1
    patch_checksum(octets, NETWORK + 10, old, get16(octets, at))
    return True


@compilable
def _local_input(world: World, interface: int, slot: int, v4: bool, now_ns: int) -> None:
    """To one of the router's own addresses: answer pings, refuse TCP and UDP."""
    octets = world.frames.octets[slot]
    header = (signed(octets[NETWORK]) & 15) * 4 if v4 else _V6_HEADER_BYTES
    protocol = signed(octets[NETWORK + (9 if v4 else 6)])
    kind = signed(octets[NETWORK + header])
    fragment = v4 and get16(octets, NETWORK + 6) & 0x3FFF != 0
    echo_v4 = v4 and protocol == icmp.ICMP and kind == icmp.ECHO_REQUEST_V4
    echo_v6 = not v4 and protocol == ICMPV6 and kind == icmp.ECHO_REQUEST_V6
    if fragment:
        drop_packet(world, interface, slot, DROP_UNKNOWN_PROTOCOL)
    elif (echo_v4 or echo_v6) and NETWORK + header + 8 <= world.frames.length[slot]:
        _answer_echo(world, interface, slot, header, v4, now_ns)
    else:
        if protocol in (_TCP, _UDP):
            router_id = world.interfaces[interface].router
            icmp.send_error(world, router_id, slot, icmp.PORT_UNREACHABLE, now_ns)
        drop_packet(world, interface, slot, CONSUMED)


@compilable
def _answer_echo(world: World, interface: int, slot: int, header: int, v4: bool, now_ns: int) -> None:
    octets = world.frames.octets[slot]
    if v4:
        icmp.turn_echo_v4(octets, header)
        high = np.uint64(0)
        low = mapped_v4(get32(octets, NETWORK + 16))
    else:
        icmp.turn_echo_v6(octets)
        high = get_half(octets, NETWORK + 24)
        low = get_half(octets, NETWORK + 32)
    router = world.interfaces[interface].router
    world.tally[world.routers[router].node, CONSUMED] += 1
    route_id = find_route(world, router, high, low)
    if route_id == NONE or world.routes[route_id].kind == LOCAL or world.routes[route_id].kind == BROADCAST:
        release(world, slot)
        return
    icmp.send_own_packet(world, route_id, high, low, slot, now_ns)


@compilable
def tick_routers(world: World, now_ns: int) -> None:
    """Ask again for neighbours that have not answered; give up on those asked for often enough."""
    state = world.state[0]
    kept = 0
    k = 0
    while k < state.asking:  # giving up may add rows behind
        row = world.asking[k]
        k += 1
        entry = world.neighbours[row]
        waiting = entry.state == ASKING
        if waiting and is_overdue(world, row, now_ns):
            waiting = ask_again(world, row, now_ns)
            if not waiting:
                entry.listed = 0
                _give_up(world, row, now_ns)
                continue
        if waiting:
            world.asking[kept] = row
            kept += 1
        else:
            entry.listed = 0
    state.asking = kept


@compilable
def _give_up(world: World, row: int, now_ns: int) -> None:
    """Report each packet that waited as undeliverable."""
    entry = world.neighbours[row]
    entry.state = FAILED
    waiting = entry.held
    entry.held = 0
    for k in range(waiting):
        slot = take_held(world, row, k)
        icmp.send_error(world, world.interfaces[entry.interface].router, slot, icmp.HOST_UNREACHABLE, now_ns)
        drop_packet(world, entry.interface, slot, DROP_UNREACHABLE)
