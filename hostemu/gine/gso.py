"""Super-frames: up to 64 KB of TCP or UDP that a host hands over as one frame for many packets (GSO).

A line must see the packets, yet a super-frame should cross the engine in one piece; so it is charged packet by
packet, and cut where its packets part ways.  Offload headers follow VIRTIO 1.2, 5.1.6.2.
"""

from __future__ import annotations

from hostemu.gine.frames import (
    ETHERTYPE,
    FLAG_NEEDS_CSUM,
    GSO_NONE,
    GSO_TCPV4,
    GSO_TCPV6,
    GSO_UDP_L4,
    IPV4,
    IPV6,
    NETWORK,
    SHORTEST_FRAME_BYTES,
    VNET_BYTES,
    VNET_CSUM_START,
    VNET_FLAGS,
    VNET_GSO_SIZE,
    VNET_GSO_TYPE,
    VNET_HEADER_LENGTH,
    Octets,
    copy_octets,
    fold,
    get16,
    get16_little,
    get32,
    put16,
    put16_little,
    put32,
    put_checksum,
    signed,
    word_sum,
)
from hostemu.lines.compiling import compilable

MALFORMED = 0

KIND = 0x7F  # of gso_type: all but VIRTIO_NET_HDR_GSO_ECN

_TCP = 6
_UDP = 17
_TCP_FIN_PSH = 0x09
_TCP_CWR = 0x80
_UDP_HEADER_BYTES = 8
_TCP_HEADER_BYTES = 20
_IPV4_HEADER_BYTES = 20
_IPV6_HEADER_BYTES = 40


@compilable
def _transport(octets: Octets) -> int:
    return VNET_BYTES + get16_little(octets, VNET_CSUM_START)


@compilable
def header_bytes(octets: Octets) -> int:
    """Bytes before the payload of a super-frame, the virtio header included."""
    transport = _transport(octets)
    if octets[VNET_GSO_TYPE] & KIND == GSO_UDP_L4:
        return transport + _UDP_HEADER_BYTES
    return transport + (signed(octets[transport + 12]) >> 4) * 4


@compilable
def segment_bytes(octets: Octets) -> int:
    """Payload bytes of each packet of a super-frame but the last."""
    return get16_little(octets, VNET_GSO_SIZE)


@compilable
def count_packets(octets: Octets, length: int) -> int:
    """How many packets a frame of `length` bytes (virtio header included) is; MALFORMED if it is none."""
    if length < SHORTEST_FRAME_BYTES:
        return MALFORMED
    if octets[VNET_GSO_TYPE] == GSO_NONE:
        return 1
    if not _is_super_frame(octets, length):
        return MALFORMED
    size = segment_bytes(octets)
    return max(1, (length - header_bytes(octets) + size - 1) // size)


@compilable
def _is_super_frame(octets: Octets, length: int) -> bool:
    """Do the headers say, without contradiction, how to cut this frame?"""
    kind = octets[VNET_GSO_TYPE] & KIND
    protocol = get16(octets, ETHERTYPE)
    v4 = protocol == IPV4 and (kind in (GSO_TCPV4, GSO_UDP_L4))
    v6 = protocol == IPV6 and (kind in (GSO_TCPV6, GSO_UDP_L4))
    if not (v4 or v6) or octets[VNET_FLAGS] & FLAG_NEEDS_CSUM == 0 or segment_bytes(octets) == 0:
        return False
    transport = _transport(octets)
    shortest = NETWORK + (_IPV4_HEADER_BYTES if v4 else _IPV6_HEADER_BYTES)
    if transport < shortest or (transport + _TCP_HEADER_BYTES > length and kind != GSO_UDP_L4):
        return False
    if kind != GSO_UDP_L4 and signed(octets[transport + 12]) >> 4 < 5:
        return False
    return header_bytes(octets) <= length


@compilable
def cut(octets: Octets, length: int, first: int, count: int, piece: Octets) -> int:
    """Write packets first … first + count - 1 of a super-frame into `piece`; returns its length.

    `piece` may be `octets` itself when `first` is 0.
    """
    header = header_bytes(octets)
    size = segment_bytes(octets)
    begin = header + first * size
    end = min(length, begin + count * size)
    udp = octets[VNET_GSO_TYPE] & KIND == GSO_UDP_L4
    copy_octets(piece, 0, octets, 0, header)
    copy_octets(piece, header, octets, begin, end - begin)
    # A kernel refuses a frame that says to have more octets of headers than octets.
    put16_little(piece, VNET_HEADER_LENGTH, header - VNET_BYTES)
    if count == 1:
        piece[VNET_GSO_TYPE] = GSO_NONE
        put16_little(piece, VNET_GSO_SIZE, 0)
    transport = _transport(octets)
    transport_bytes = header - transport + end - begin
    if udp:
        put16(piece, transport + 4, transport_bytes)
    else:
        _renumber_tcp(piece, transport, first * size, first > 0, end < length)
    addresses = _set_network_length(piece, transport, transport_bytes, first)
    partial = fold(addresses + transport_bytes + (_UDP if udp else _TCP))  # the pseudo-header's: VIRTIO 1.2
    put16(piece, transport + (6 if udp else 16), partial)
    return header + end - begin


@compilable
def _renumber_tcp(piece: Octets, transport: int, skipped: int, has_before: bool, has_after: bool) -> None:
    """FIN and PSH belong to the last packet, CWR to the first (as the kernel's tcp_gso_segment has it)."""
    put32(piece, transport + 4, get32(piece, transport + 4) + skipped)
    if has_after:
        piece[transport + 13] &= 255 ^ _TCP_FIN_PSH
    if has_before:
        piece[transport + 13] &= 255 ^ _TCP_CWR


@compilable
def _set_network_length(piece: Octets, transport: int, transport_bytes: int, first: int) -> int:
    """Set length, identification and checksum of the IP header; the word sum of its addresses."""
    if get16(piece, ETHERTYPE) == IPV4:
        put16(piece, NETWORK + 2, transport - NETWORK + transport_bytes)
        put16(piece, NETWORK + 4, get16(piece, NETWORK + 4) + first)
        put_checksum(piece, NETWORK + 10, NETWORK, transport - NETWORK, 0)
        return word_sum(piece, NETWORK + 12, 8)
    put16(piece, NETWORK + 4, transport - NETWORK - _IPV6_HEADER_BYTES + transport_bytes)
    return word_sum(piece, NETWORK + 8, 32)
