"""Cutting super-frames, against packets built one by one."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.gine.frames import SLOT_BYTES, VNET_BYTES, fold, patch_checksum, put_checksum, word_sum
from hostemu.gine.gso import MALFORMED, count_packets, cut, header_bytes, segment_bytes

ETHERNET = bytes.fromhex("020000000002020000000001")
FIN, PSH, ACK, CWR = 0x01, 0x08, 0x10, 0x80
GSO = {("tcp", 4): 1, ("tcp", 6): 4, ("udp", 4): 5, ("udp", 6): 5}
ADDRESSES = {4: bytes([10, 1, 0, 1, 10, 2, 0, 1]), 6: bytes(range(1, 33))}


def ones_complement(data: bytes) -> int:
    """The reference sum: RFC 1071 as written."""
    total = 0
    for (word,) in struct.iter_unpack("!H", data + b"\0" * (len(data) % 2)):
        total += word
        total = (total & 0xFFFF) + (total >> 16)
    return total


def build(
    kind: str,
    version: int,
    payload: bytes,
    *,
    number: int = 7,
    ident: int = 65534,
    flags: int = ACK,
    gso_size: int = 0,
) -> bytes:
    """A frame behind its virtio header, with its transport checksum left to offload."""
    protocol = 6 if kind == "tcp" else 17
    options = bytes(12)
    length = len(payload) + (32 if kind == "tcp" else 8)
    partial = ones_complement(ADDRESSES[version] + struct.pack("!HH", length, protocol))
    if kind == "tcp":
        tcp = struct.pack("!HHIIBBHHH", 1, 2, number, 9, 8 << 4, flags, 1000, partial, 0)
        transport, check = tcp + options, 16
    else:
        transport, check = struct.pack("!HHHH", 1, 2, length, partial), 6
    if version == 4:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, ident & 0xFFFF, 0, 64, protocol, 0) + ADDRESSES[4]
        ip = ip[:10] + struct.pack("!H", ones_complement(ip) ^ 0xFFFF) + ip[12:]
    else:
        ip = struct.pack("!IHBB", 6 << 28, length, protocol, 64) + ADDRESSES[6]
    ethertype = b"\x08\x00" if version == 4 else b"\x86\xdd"
    headers = 14 + len(ip) + len(transport)
    gso_type = GSO[kind, version] if gso_size else 0
    vnet = struct.pack("<BBHHHH", 1, gso_type, headers, gso_size, 14 + len(ip), check)
    return vnet + ETHERNET + ethertype + ip + transport + payload


def octets(data: bytes) -> np.ndarray[Any, Any]:
    slot = np.zeros(SLOT_BYTES, np.uint8)
    slot[: len(data)] = np.frombuffer(data, np.uint8)
    return slot


@given(st.sampled_from(["tcp", "udp"]), st.sampled_from([4, 6]), st.integers(1, 1448), st.integers(1, 12), st.data())
def test_a_piece_is_the_super_frame_of_its_packets(
    kind: str, version: int, size: int, packets: int, data: st.DataObject
) -> None:
    last = data.draw(st.integers(1, size))
    first = data.draw(st.integers(0, packets - 1))
    count = data.draw(st.integers(1, packets - first))
    payload = bytes(k * 7 % 251 for k in range((packets - 1) * size + last))
    number = 2**32 - 1000
    whole = build(kind, version, payload, number=number, flags=ACK | PSH | FIN | CWR, gso_size=size)
    linear = data.draw(st.integers(struct.unpack_from("<H", whole, 2)[0], len(whole) - VNET_BYTES))
    whole = whole[:2] + struct.pack("<H", linear) + whole[4:]  # what a kernel had in one piece of its memory
    flags = ACK | (CWR if first == 0 else 0) | (PSH | FIN if first + count == packets else 0)
    expected = build(
        kind,
        version,
        payload[first * size : (first + count) * size],
        number=(number + first * size) % 2**32,
        ident=65534 + first,
        flags=flags,
        gso_size=size if count > 1 else 0,
    )
    source, piece = octets(whole), octets(b"")
    assert count_packets(source, len(whole)) == packets
    length = cut(source, len(whole), first, count, piece)
    assert piece[:length].tobytes() == expected
    if first == 0:
        assert cut(source, len(whole), 0, count, source) == length
        assert source[:length].tobytes() == piece[:length].tobytes()


def test_a_plain_frame_is_one_packet() -> None:
    frame = build("tcp", 4, b"x")
    assert count_packets(octets(frame), len(frame)) == 1


@pytest.mark.parametrize(
    ("at", "value"),
    [(0, 0), (1, 3), (1, 4), (4, 0), (6, 0), (6, 255), (7, 255), (22, 7), (10 + 14 + 20 + 12, 0)],
)
def test_headers_that_contradict_themselves_are_malformed(at: int, value: int) -> None:
    frame = bytearray(build("tcp", 4, bytes(3000), gso_size=200))
    assert count_packets(octets(bytes(frame)), len(frame)) == 15
    frame[at] = value
    assert count_packets(octets(bytes(frame)), len(frame)) == MALFORMED


@pytest.mark.parametrize("length", [0, VNET_BYTES, 23, 60])
def test_frames_cut_short_are_malformed(length: int) -> None:
    frame = build("tcp", 4, bytes(3000), gso_size=1000)
    assert count_packets(octets(frame), length) == MALFORMED


@given(st.binary(min_size=100, max_size=100), st.integers(0, 255), st.integers(0, 1))
def test_any_bytes_are_malformed_or_cuttable(data: bytes, gso_type: int, flags: int) -> None:
    slot = octets(bytes([flags, gso_type]) + data[2:])
    packets = count_packets(slot, len(data))
    if packets > 1:
        assert header_bytes(slot) <= len(data)
        pieces = [cut(slot, len(data), k, 1, octets(b"")) - header_bytes(slot) for k in range(packets)]
        assert sum(pieces) == len(data) - header_bytes(slot)
        assert set(pieces[:-1]) <= {segment_bytes(slot)}


@given(st.binary(max_size=100))
def test_word_sums_fold_to_the_internet_checksum(data: bytes) -> None:
    slot = octets(data)
    assert fold(word_sum(slot, 0, len(data))) == ones_complement(data)


@given(st.binary(min_size=8, max_size=40).filter(lambda data: len(data) % 2 == 0), st.integers(1, 0xFFFF))
def test_a_patched_checksum_still_verifies(data: bytes, new: int) -> None:
    slot = octets(b"\0\0" + data)
    put_checksum(slot, 0, 0, len(data) + 2, 0)
    old = int(slot[4]) << 8 | int(slot[5])
    slot[4], slot[5] = new >> 8, new & 255
    patch_checksum(slot, 0, old, new)
    assert ones_complement(slot[: len(data) + 2].tobytes()) == 0xFFFF
