"""Asking many hosts at once whether they are there: ICMP echo (RFC 792), from a socket of any namespace."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterable

from hostemu.base.deadline import Deadline

_ECHO_REPLY, _ECHO_REQUEST = 0, 8
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
ROUND_S = 1.0
"""After this time those that have not answered are asked again."""

BURST = 64
"""Requests in a row before answers are taken in."""


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = data + bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def echo_request(identifier: int, sequence: int) -> bytes:
    """An ICMP echo request without data."""
    blank = _HEADER.pack(_ECHO_REQUEST, 0, 0, identifier, sequence)
    return _HEADER.pack(_ECHO_REQUEST, 0, checksum(blank), identifier, sequence)


def answering(sock: socket.socket, addresses: Iterable[str], deadline: Deadline) -> set[str]:
    """Which of these IPv4 addresses answer before the deadline; sock: a raw ICMP socket of the asker's namespace."""
    missing = dict.fromkeys(addresses)
    found: set[str] = set()
    identifier = os.getpid() & 0xFFFF
    sequence = 0
    while missing and deadline.left_s():
        sequence += 1
        asked = list(missing)
        for first in range(0, len(asked), BURST):
            for address in asked[first : first + BURST]:
                _send(sock, echo_request(identifier, sequence & 0xFFFF), address)
            _take(sock, identifier, 0.0, missing, found)
        round_ends = Deadline.after(min(ROUND_S, deadline.left_s()), "answers")
        while missing and round_ends.left_s():
            _take(sock, identifier, round_ends.left_s(), missing, found)
    return found


def _send(sock: socket.socket, request: bytes, address: str) -> None:
    try:
        sock.sendto(request, (address, 0))
    except OSError:  # no route, a full queue: asked again in the next round
        return


def _take(sock: socket.socket, identifier: int, patience_s: float, missing: dict[str, None], found: set[str]) -> None:
    """Take in the answers that are there, or the first that comes within `patience_s`."""
    poller = select.poll()
    poller.register(sock, select.POLLIN)
    while poller.poll(patience_s * 1000):
        packet, (source, _) = sock.recvfrom(2048)
        message = packet[(packet[0] & 0xF) * 4 :]
        if len(message) >= _HEADER.size:
            kind, _, _, number, _ = _HEADER.unpack_from(message)
            if kind == _ECHO_REPLY and number == identifier and source in missing:
                del missing[source]
                found.add(source)
        patience_s = 0.0
