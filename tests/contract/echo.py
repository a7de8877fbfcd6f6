"""Frames by which a guest's kernel is asked for an answer, at the emulator's end of its NIC."""

from __future__ import annotations

import os
import select
import struct
import time
from ipaddress import IPv4Address

VNET_HEADER = bytes(10)
"""struct virtio_net_hdr of a plain frame, in front of every frame."""

_IPV4, _ICMP, _ECHO_REPLY, _ECHO = 0x0800, 1, 0, 8


def checksum(data: bytes) -> int:
    """The Internet checksum, RFC 1071."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def echo_request(number: int, source: tuple[str, str], target: tuple[str, str], data: bytes = b"") -> bytes:
    """An ICMP echo request, with its virtio_net_hdr; source and target: MAC and IPv4 address."""
    message = struct.pack(">BBHHH", _ECHO, 0, 0, 0x4711, number) + data + bytes(len(data) % 2)
    message = message[:2] + struct.pack(">H", checksum(message)) + message[4:]
    addresses = IPv4Address(source[1]).packed + IPv4Address(target[1]).packed
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(message), number, 0, 64, _ICMP, 0) + addresses
    head = head[:10] + struct.pack(">H", checksum(head)) + head[12:]
    ethernet = bytes.fromhex((target[0] + source[0]).replace(":", "")) + struct.pack(">H", _IPV4)
    return VNET_HEADER + ethernet + head + message


def echo_reply(frame: bytes) -> int | None:
    """The number of the echo request that this frame answers; None when it is something else."""
    packet = frame[len(VNET_HEADER) + 14 :]
    if len(packet) < 28 or packet[9] != _ICMP or packet[20] != _ECHO_REPLY:
        return None
    number: int = struct.unpack_from(">H", packet, 26)[0]
    return number


def drain(fd: int) -> list[bytes]:
    """The frames that have come in."""
    frames = []
    try:
        while True:
            frames.append(os.read(fd, 70_000))
    except OSError:  # nothing more, or the far end is down
        return frames


class Asker:
    """Asks a guest through one of its NICs."""

    def __init__(self, fd: int, source: tuple[str, str], target: tuple[str, str]) -> None:
        self._fd, self._source, self._target = fd, source, target
        self._number = 0
        self._poller = select.poll()  # and not select.select(): of a thousand guests, descriptors have large numbers
        self._poller.register(fd, select.POLLIN)

    def answers(self, count: int, patience_s: float) -> int:
        """How many of `count` requests are answered; returns as soon as all are."""
        drain(self._fd)
        asked = set()
        for _ in range(count):
            self._number += 1
            asked.add(self._number)
            try:
                os.write(self._fd, echo_request(self._number, self._source, self._target, bytes(100)))
            except OSError:  # the far end is down
                continue
        answered: set[int | None] = set()
        end_s = time.monotonic() + patience_s
        while len(answered & asked) < count and (left_s := end_s - time.monotonic()) > 0:
            self._poller.poll(left_s * 1000)
            answered |= {echo_reply(frame) for frame in drain(self._fd)}
            if time.monotonic() < end_s and len(answered & asked) < count:
                time.sleep(0.005)  # a descriptor whose far end is down is always ready
        return len(answered & asked)

    def reached(self, patience_s: float) -> bool:
        """Whether the guest answers at last."""
        end_s = time.monotonic() + patience_s
        while time.monotonic() < end_s:
            if self.answers(1, 0.2):
                return True
        return False
