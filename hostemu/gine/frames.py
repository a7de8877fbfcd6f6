"""Bytes of a frame: the virtio-net header, Ethernet, big-endian fields, internet checksums.

A frame in a slot begins with its 10-byte virtio_net_hdr (VIRTIO 1.2, 5.1.6): flags, gso_type, and the
little-endian 16-bit fields hdr_len, gso_size, csum_start, csum_offset.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from hostemu.lines.compiling import compilable

Octets = npt.NDArray[np.uint8]

# A signed integer from a number of any kind: compiled code turns signed with unsigned into a float.
signed = cast(Callable[[Any], int], np.int64)

VNET_BYTES = 10
VNET_FLAGS = 0
VNET_GSO_TYPE = 1
VNET_HEADER_LENGTH = 2
VNET_GSO_SIZE = 4
VNET_CSUM_START = 6

FLAG_NEEDS_CSUM = 1
GSO_NONE = 0
GSO_TCPV4 = 1
GSO_TCPV6 = 4
GSO_UDP_L4 = 5

ETHERNET_BYTES = 14
DESTINATION_MAC = VNET_BYTES
SOURCE_MAC = VNET_BYTES + 6
ETHERTYPE = VNET_BYTES + 12
NETWORK = VNET_BYTES + ETHERNET_BYTES  # where the IP or ARP header begins
SHORTEST_FRAME_BYTES = NETWORK

IPV4 = 0x0800
ARP = 0x0806
IPV6 = 0x86DD

# A TAP hands out at most 64 KiB of packet, its Ethernet header (perhaps with a VLAN tag) and the virtio header.
SLOT_BYTES = 66 * 1024

BROADCAST_MAC = 0xFFFF_FFFF_FFFF

_8 = np.uint64(8)
_V4_PREFIX = np.uint64(0xFFFF_0000_0000)


@compilable
def get16(octets: Octets, at: int) -> int:
    """The 16-bit big-endian integer at `at`."""
    return signed(octets[at]) << 8 | signed(octets[at + 1])


@compilable
def put16(octets: Octets, at: int, value: int) -> None:
    """Write the low 16 bits of `value`, big-endian."""
    octets[at] = (value >> 8) & 255
    octets[at + 1] = value & 255


@compilable
def put16_little(octets: Octets, at: int, value: int) -> None:
    """Write the low 16 bits of `value`, little-endian."""
    octets[at] = value & 255
    octets[at + 1] = (value >> 8) & 255


@compilable
def get16_little(octets: Octets, at: int) -> int:
    """The 16-bit little-endian integer at `at`."""
    return signed(octets[at]) | signed(octets[at + 1]) << 8


@compilable
def get32(octets: Octets, at: int) -> int:
    """The 32-bit big-endian integer at `at`."""
    return get16(octets, at) << 16 | get16(octets, at + 2)


@compilable
def put32(octets: Octets, at: int, value: int) -> None:
    """Write the low 32 bits of `value`, big-endian."""
    put16(octets, at, value >> 16)
    put16(octets, at + 2, value)


@compilable
def get_mac(octets: Octets, at: int) -> int:
    """The six bytes at `at` as an integer."""
    return get16(octets, at) << 32 | get32(octets, at + 2)


@compilable
def put_mac(octets: Octets, at: int, mac: int) -> None:
    """Write a MAC address."""
    put16(octets, at, mac >> 32)
    put32(octets, at + 2, mac)


@compilable
def get_half(octets: Octets, at: int) -> np.uint64:
    """The eight bytes at `at`, half of an IPv6 address."""
    value = np.uint64(0)
    for k in range(8):
        value = value << _8 | np.uint64(octets[at + k])
    return value


@compilable
def put_half(octets: Octets, at: int, value: np.uint64) -> None:
    """Write half of an IPv6 address."""
    for k in range(8):
        octets[at + 7 - k] = np.uint8(value & np.uint64(255))
        value = value >> _8


@compilable
def mapped_v4(address: int) -> np.uint64:
    """The low half of ::ffff:a.b.c.d; inside GINE every address is one of 128 bits (RFC 4291, 2.5.5.2)."""
    return np.uint64(address) | _V4_PREFIX


@compilable
def copy_octets(target: Octets, to: int, source: Octets, at: int, length: int) -> None:
    """Copy `length` bytes; where both are one array, the ranges must not overlap with to > at."""
    for k in range(length):
        target[to + k] = source[at + k]


@compilable
def clear_octets(octets: Octets, at: int, length: int) -> None:
    """Set `length` bytes to 0."""
    for k in range(at, at + length):
        octets[k] = 0


@compilable
def word_sum(octets: Octets, at: int, length: int) -> int:
    """The plain sum of 16-bit big-endian words; an odd last byte is padded with 0 (RFC 1071)."""
    total = 0
    for k in range(at, at + length - 1, 2):
        total += get16(octets, k)
    if length & 1:
        total += signed(octets[at + length - 1]) << 8
    return total


@compilable
def fold(total: int) -> int:
    """The one's complement sum in 16 bits of a plain sum of words."""
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@compilable
def put_checksum(octets: Octets, field: int, at: int, length: int, extra: int) -> None:
    """Write the internet checksum over `length` bytes from `at`, plus the word sum `extra`, into `field`."""
    put16(octets, field, 0)
    put16(octets, field, fold(word_sum(octets, at, length) + extra) ^ 0xFFFF)


@compilable
def patch_checksum(octets: Octets, field: int, old: int, new: int) -> None:
    """Correct the checksum at `field` for one word that went from `old` to `new` (RFC 1624, equation 3)."""
    total = (get16(octets, field) ^ 0xFFFF) + (old ^ 0xFFFF) + new
    put16(octets, field, fold(total) ^ 0xFFFF)


@compilable
def ipv6_pseudo_sum(octets: Octets, length: int, next_header: int) -> int:
    """The word sum of the pseudo-header of the IPv6 packet in `octets` (RFC 8200, 8.1)."""
    return word_sum(octets, NETWORK + 8, 32) + length + next_header


@compilable
def start_frame(octets: Octets, destination: int, source: int, ethertype: int) -> None:
    """Write an empty virtio header and an Ethernet header."""
    clear_octets(octets, 0, VNET_BYTES)
    put_mac(octets, DESTINATION_MAC, destination)
    put_mac(octets, SOURCE_MAC, source)
    put16(octets, ETHERTYPE, ethertype)
