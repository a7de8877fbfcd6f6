"""The messages a router writes to find and to answer its neighbours: ARP (RFC 826), discovery (RFC 4861, 4.3-4.6)."""

from __future__ import annotations

import numpy as np

from hostemu.gine.frames import (
    ARP,
    IPV4,
    IPV6,
    NETWORK,
    Octets,
    clear_octets,
    ipv6_pseudo_sum,
    put16,
    put32,
    put_checksum,
    put_half,
    put_mac,
    signed,
    start_frame,
)
from hostemu.lines.compiling import compilable

ARP_REQUEST = 1
ARP_REPLY = 2
ARP_BYTES = 28

ICMPV6 = 58
SOLICITATION = 135
ADVERTISEMENT = 136
SOURCE_LINK_ADDRESS = 1
TARGET_LINK_ADDRESS = 2
DISCOVERY_HOP_LIMIT = 255
DISCOVERY_BYTES = 32  # of a message with one option
ICMPV6_AT = NETWORK + 40

_ETHERNET_HARDWARE = 1
_IPV6_VERSION = 6 << 28
_ROUTER_SOLICITED_OVERRIDE = 0xE000_0000
_SOLICITED_HIGH = np.uint64(0xFF02_0000_0000_0000)  # ff02::1:ffXX:XXXX (RFC 4291, 2.7.1)
_SOLICITED_LOW = np.uint64(0x0001_FF00_0000)
_SOLICITED_MAC = 0x3333_FF00_0000  # RFC 2464, 7
_LOW_24 = np.uint64(0xFF_FFFF)
_LOW_32 = np.uint64(0xFFFF_FFFF)


@compilable
def write_arp(
    octets: Octets, operation: int, mac: int, address: np.uint64, to_mac: int, to_address: np.uint64, send_to: int
) -> int:
    """An ARP message from `address` at `mac` about `to_address`, in a frame to `send_to`; its length."""
    start_frame(octets, send_to, mac, ARP)
    put16(octets, NETWORK, _ETHERNET_HARDWARE)
    put16(octets, NETWORK + 2, IPV4)
    put16(octets, NETWORK + 4, 6 << 8 | 4)  # lengths of the two kinds of addresses
    put16(octets, NETWORK + 6, operation)
    put_mac(octets, NETWORK + 8, mac)
    put32(octets, NETWORK + 14, signed(address & _LOW_32))
    put_mac(octets, NETWORK + 18, to_mac)
    put32(octets, NETWORK + 24, signed(to_address & _LOW_32))
    return NETWORK + ARP_BYTES


@compilable
def write_solicitation(
    octets: Octets, mac: int, source_high: np.uint64, source_low: np.uint64, high: np.uint64, low: np.uint64
) -> int:
    """Who has (high, low)?  Sent to the solicited-node group of the address; the frame's length."""
    tail = low & _LOW_24
    start_frame(octets, _SOLICITED_MAC | signed(tail), mac, IPV6)
    _write_addresses(octets, source_high, source_low, _SOLICITED_HIGH, _SOLICITED_LOW | tail)
    return _write_discovery(octets, SOLICITATION, 0, high, low, SOURCE_LINK_ADDRESS, mac)


@compilable
def write_advertisement(
    octets: Octets, mac: int, high: np.uint64, low: np.uint64, to_mac: int, to_high: np.uint64, to_low: np.uint64
) -> int:
    """(high, low) is at `mac`; to the one who asked.  The frame's length."""
    start_frame(octets, to_mac, mac, IPV6)
    _write_addresses(octets, high, low, to_high, to_low)
    return _write_discovery(octets, ADVERTISEMENT, _ROUTER_SOLICITED_OVERRIDE, high, low, TARGET_LINK_ADDRESS, mac)


@compilable
def write_ipv6_header(octets: Octets, payload_bytes: int, next_header: int, hop_limit: int) -> None:
    """An IPv6 header but for its addresses (RFC 8200, 3)."""
    put32(octets, NETWORK, _IPV6_VERSION)
    put16(octets, NETWORK + 4, payload_bytes)
    octets[NETWORK + 6] = next_header
    octets[NETWORK + 7] = hop_limit


@compilable
def _write_addresses(
    octets: Octets, source_high: np.uint64, source_low: np.uint64, high: np.uint64, low: np.uint64
) -> None:
    put_half(octets, NETWORK + 8, source_high)
    put_half(octets, NETWORK + 16, source_low)
    put_half(octets, NETWORK + 24, high)
    put_half(octets, NETWORK + 32, low)


@compilable
def _write_discovery(
    octets: Octets, kind: int, flags: int, high: np.uint64, low: np.uint64, option: int, mac: int
) -> int:
    write_ipv6_header(octets, DISCOVERY_BYTES, ICMPV6, DISCOVERY_HOP_LIMIT)
    clear_octets(octets, ICMPV6_AT, DISCOVERY_BYTES)
    octets[ICMPV6_AT] = kind
    put32(octets, ICMPV6_AT + 4, flags)
    put_half(octets, ICMPV6_AT + 8, high)
    put_half(octets, ICMPV6_AT + 16, low)
    octets[ICMPV6_AT + 24] = option
    octets[ICMPV6_AT + 25] = 1  # in units of 8 bytes
    put_mac(octets, ICMPV6_AT + 26, mac)
    pseudo = ipv6_pseudo_sum(octets, DISCOVERY_BYTES, ICMPV6)
    put_checksum(octets, ICMPV6_AT + 2, ICMPV6_AT, DISCOVERY_BYTES, pseudo)
    return ICMPV6_AT + DISCOVERY_BYTES
