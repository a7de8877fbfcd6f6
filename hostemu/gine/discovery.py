"""What a router does with the ARP and neighbour discovery that it hears."""

from __future__ import annotations

import numpy as np

from hostemu.gine.frames import (
    IPV4,
    NETWORK,
    SOURCE_MAC,
    Octets,
    fold,
    get16,
    get32,
    get_half,
    get_mac,
    ipv6_pseudo_sum,
    mapped_v4,
    signed,
    word_sum,
)
from hostemu.gine.messages import (
    ADVERTISEMENT,
    ARP_BYTES,
    ARP_REPLY,
    ARP_REQUEST,
    DISCOVERY_HOP_LIMIT,
    ICMPV6,
    ICMPV6_AT,
    SOLICITATION,
    SOURCE_LINK_ADDRESS,
    TARGET_LINK_ADDRESS,
    write_advertisement,
    write_arp,
)
from hostemu.gine.neighbours import learn_neighbour, send_own
from hostemu.gine.routes import find_route
from hostemu.gine.transmit import take_slot
from hostemu.gine.world import CONNECTED, LOCAL, NONE, World
from hostemu.lines.compiling import compilable

_DISCOVERY_SHORTEST_BYTES = 24
_NO_MAC = 0


@compilable
def _is_on(world: World, interface: int, high: np.uint64, low: np.uint64, kind: int) -> bool:
    """Is there a route of this kind for the address, by this interface?"""
    route_id = find_route(world, world.interfaces[interface].router, high, low)
    if route_id == NONE:
        return False
    route = world.routes[route_id]
    return bool(route.kind == kind and route.interface == interface)


@compilable
def arp_input(world: World, interface: int, slot: int, now_ns: int) -> bool:
    """Learn the sender, answer a request for an own address; False when the message is malformed."""
    octets = world.frames.octets[slot]
    if world.frames.length[slot] < NETWORK + ARP_BYTES or get16(octets, NETWORK + 2) != IPV4:
        return False
    zero = np.uint64(0)
    sender_mac = get_mac(octets, NETWORK + 8)
    sender = mapped_v4(get32(octets, NETWORK + 14))
    target = mapped_v4(get32(octets, NETWORK + 24))
    for_us = _is_on(world, interface, zero, target, LOCAL)
    if _is_on(world, interface, zero, sender, CONNECTED):
        learn_neighbour(world, interface, zero, sender, sender_mac, for_us, now_ns)
    if for_us and get16(octets, NETWORK + 6) == ARP_REQUEST:
        reply = take_slot(world)
        if reply != NONE:
            mac = world.interfaces[interface].mac
            out = world.frames.octets[reply]
            length = write_arp(out, ARP_REPLY, mac, target, sender_mac, sender, sender_mac)
            send_own(world, interface, reply, length, now_ns)
    return True


@compilable
def is_discovery(octets: Octets) -> bool:
    """Is this IPv6 packet a neighbour solicitation or advertisement?"""
    return bool(octets[NETWORK + 6] == ICMPV6) and octets[ICMPV6_AT] in (SOLICITATION, ADVERTISEMENT)


@compilable
def discovery_input(world: World, interface: int, slot: int, now_ns: int) -> bool:
    """Learn, and answer a solicitation; False when the message fails RFC 4861, 7.1.1 or 7.1.2."""
    octets = world.frames.octets[slot]
    length = get16(octets, NETWORK + 4)
    if length < _DISCOVERY_SHORTEST_BYTES or octets[NETWORK + 7] != DISCOVERY_HOP_LIMIT:
        return False
    pseudo = ipv6_pseudo_sum(octets, length, ICMPV6)
    if fold(word_sum(octets, ICMPV6_AT, length) + pseudo) != 0xFFFF:
        return False
    high = get_half(octets, ICMPV6_AT + 8)
    low = get_half(octets, ICMPV6_AT + 16)
    if octets[ICMPV6_AT] == ADVERTISEMENT:
        mac = _link_address(octets, length, TARGET_LINK_ADDRESS)
        if mac != _NO_MAC:
            learn_neighbour(world, interface, high, low, mac, False, now_ns)
        return True
    if _is_on(world, interface, high, low, LOCAL):
        _answer(world, interface, octets, length, high, low, now_ns)
    return True


@compilable
def _answer(
    world: World, interface: int, octets: Octets, length: int, high: np.uint64, low: np.uint64, now_ns: int
) -> None:
    """Advertise an own address to who solicits it.  (A probe for a duplicate, from ::, is left unanswered.)"""
    to_high = get_half(octets, NETWORK + 8)
    to_low = get_half(octets, NETWORK + 16)
    if to_high == np.uint64(0) and to_low == np.uint64(0):
        return
    mac = _link_address(octets, length, SOURCE_LINK_ADDRESS)
    if mac != _NO_MAC and _is_on(world, interface, to_high, to_low, CONNECTED):
        learn_neighbour(world, interface, to_high, to_low, mac, True, now_ns)
    reply = take_slot(world)
    if reply != NONE:
        own_mac = world.interfaces[interface].mac
        to_mac = get_mac(octets, SOURCE_MAC)
        out = world.frames.octets[reply]
        written = write_advertisement(out, own_mac, high, low, to_mac, to_high, to_low)
        send_own(world, interface, reply, written, now_ns)


@compilable
def _link_address(octets: Octets, length: int, wanted: int) -> int:
    """The MAC address in the message's option of the wanted type, or _NO_MAC."""
    at = _DISCOVERY_SHORTEST_BYTES
    while at + 8 <= length:
        option_bytes = signed(octets[ICMPV6_AT + at + 1]) * 8
        if octets[ICMPV6_AT + at] == wanted:
            return get_mac(octets, ICMPV6_AT + at + 2)
        if option_bytes == 0:
            return _NO_MAC
        at += option_bytes
    return _NO_MAC
