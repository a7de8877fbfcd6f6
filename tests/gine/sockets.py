"""Ports without privileges: the emulator's end of a pair of sockets that keep the boundaries of frames."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator

VNET = bytes(10)


@contextlib.contextmanager
def socket_ports(count: int) -> Iterator[tuple[list[int], list[socket.socket]]]:
    """File descriptors for ports, and the hosts' ends of them."""
    with contextlib.ExitStack() as stack:
        pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for _ in range(count)]
        for pair in pairs:
            for end in pair:
                stack.enter_context(end)
                end.settimeout(5)
        yield [near.fileno() for near, _ in pairs], [far for _, far in pairs]


def mac(number: int) -> bytes:
    return struct.pack("!HI", 0x0200, number)


def ethernet(to: bytes, source: bytes, payload: bytes = b"", ethertype: int = 0x88B5) -> bytes:
    """A frame behind an empty virtio header; the default type is one for experiments (IEEE 802)."""
    return VNET + to + source + struct.pack("!H", ethertype) + payload
