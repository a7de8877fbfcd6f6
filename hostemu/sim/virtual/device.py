"""A guest's network interface while it is being set up: the device's side of vhost-user.

Once its queues are enabled, compiled code serves it; what comes in afterwards and is no kick is served here again.
Manual: QEMU, docs/interop/vhost-user.rst.
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from enum import IntEnum
from typing import Any

import numpy as np

from hostemu.base.errors import GuestError
from hostemu.gine.network import parse_mac
from hostemu.sim.virtual.tables import QUEUES, REGIONS, Machines
from hostemu.sim.virtual.talk import NEED_REPLY, REPLY, VERSION, VRING_KICK

HEAD = struct.Struct("<III")
READ_BYTES = 4096
MOST_FDS = 8


class Request(IntEnum):
    """Of vhost-user, those that Linux' virtio_uml makes."""

    GET_FEATURES = 1
    SET_FEATURES = 2
    SET_OWNER = 3
    SET_MEM_TABLE = 5
    SET_VRING_NUM = 8
    SET_VRING_ADDR = 9
    SET_VRING_BASE = 10
    GET_PROTOCOL_FEATURES = 15
    SET_PROTOCOL_FEATURES = 16
    GET_QUEUE_NUM = 17
    SET_VRING_ENABLE = 18
    SET_SLAVE_REQ_FD = 21
    GET_CONFIG = 24
    KICK = VRING_KICK


# VIRTIO 1.2, 5.1.3 and 6; vhost-user's own bit.
F_MAC, F_PROTOCOL, F_VERSION_1 = 1 << 5, 1 << 30, 1 << 32
FEATURES = F_MAC | F_PROTOCOL | F_VERSION_1
P_REPLY_ACK, P_SLAVE_REQ, P_CONFIG, P_IN_BAND = 1 << 3, 1 << 5, 1 << 9, 1 << 14
PROTOCOL_FEATURES = P_REPLY_ACK | P_SLAVE_REQ | P_CONFIG | P_IN_BAND

QUEUE_PAIRS = 1
NO_NOTIFY = 1


class Device:
    """The interface of guest `number`.  sock: its connection, which becomes the device's."""

    def __init__(self, machines: Machines, number: int, name: str, mac: str, sock: socket.socket) -> None:
        self.sock = sock
        self.calls: socket.socket | None = None
        """How the guest is interrupted; None until it has said so."""
        self._machines = machines
        self._number = number
        self._name = name
        self._mac = parse_mac(mac).to_bytes(6, "big")
        self._data = b""
        self._fds: list[int] = []
        self._memory: list[Any] = []
        self._enabled: set[int] = set()

    @property
    def is_ready(self) -> bool:
        """Whether both queues work."""
        return self._enabled == {0, 1}

    def close(self) -> None:
        """Close what is the device's; its memory goes when nobody looks at it any more."""
        self.sock.close()
        if self.calls is not None:
            self.calls.close()
        while self._fds:
            os.close(self._fds.pop())
        self._machines.queues["entries"][QUEUES * self._number : QUEUES * (self._number + 1)] = 0
        self._machines.regions["length"][REGIONS * self._number : REGIONS * (self._number + 1)] = 0
        self._memory.clear()

    def serve(self, unread: bytes = b"") -> bool:
        """Answer what has come in.  unread: what was read of it before.  False when the guest is at its end."""
        try:
            data, fds, _, _ = socket.recv_fds(self.sock, READ_BYTES, MOST_FDS)
        except BlockingIOError:
            data, fds = b"", []
            if not unread:
                return True
        except ConnectionError:
            return False
        if not data and not unread:
            return False
        self._data += unread + data
        self._fds += fds
        while len(self._data) >= HEAD.size:
            request, flags, size = HEAD.unpack_from(self._data)
            if len(self._data) < HEAD.size + size:
                break
            payload = self._data[HEAD.size : HEAD.size + size]
            self._data = self._data[HEAD.size + size :]
            self._obey(request, flags, payload)
        return True

    def _obey(self, request: int, flags: int, payload: bytes) -> None:
        answer: bytes | None = None
        match request:
            case Request.GET_FEATURES:
                answer = struct.pack("<Q", FEATURES)
            case Request.GET_PROTOCOL_FEATURES:
                answer = struct.pack("<Q", PROTOCOL_FEATURES)
            case Request.GET_QUEUE_NUM:
                answer = struct.pack("<Q", QUEUE_PAIRS)
            case Request.GET_CONFIG:
                answer = self._config(payload)
            case Request.SET_SLAVE_REQ_FD:
                self.calls = socket.socket(fileno=self._fds.pop(0))
                self.calls.setblocking(False)
            case Request.SET_MEM_TABLE:
                self._map_memory(payload)
            case Request.SET_VRING_NUM | Request.SET_VRING_ADDR | Request.SET_VRING_BASE | Request.SET_VRING_ENABLE:
                self._set_queue(request, payload)
            case Request.SET_FEATURES | Request.SET_PROTOCOL_FEATURES | Request.SET_OWNER | Request.KICK:
                pass
            case _:
                raise GuestError(
                    f"guest {self._name} asks its network interface for something unknown",
                    expected="a request of Linux' virtio_uml",
                    found=f"vhost-user request {request}",
                )
        if answer is None and flags & NEED_REPLY:
            answer = struct.pack("<Q", 0)
        if answer is not None:
            self.sock.sendall(HEAD.pack(request, VERSION | REPLY, len(answer)) + answer)

    def _config(self, payload: bytes) -> bytes:
        """VIRTIO 1.2, 5.1.4: the MAC address; what else there is belongs to features that are not offered."""
        head, wanted = payload[:12], len(payload) - 12
        return head + self._mac[:wanted].ljust(wanted, b"\0")

    def _map_memory(self, payload: bytes) -> None:
        (count,) = struct.unpack_from("<I", payload)
        if count > REGIONS:
            raise GuestError(
                f"guest {self._name} has its memory in too many pieces",
                expected=f"at most {REGIONS}",
                found=str(count),
            )
        for k in range(count):
            first, size, _, offset = struct.unpack_from("<QQQQ", payload, 8 + 32 * k)
            fd = self._fds.pop(0)
            memory = mmap.mmap(fd, offset + size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
            os.close(fd)
            octets = np.frombuffer(memory, np.uint8)
            self._memory.append(octets)
            row = self._machines.regions[REGIONS * self._number + k]
            row.first, row.length, row.address = first, size, octets.ctypes.data + offset

    def _set_queue(self, request: int, payload: bytes) -> None:
        index = int.from_bytes(payload[:4], "little")
        row = self._machines.queues[QUEUES * self._number + index]
        if request == Request.SET_VRING_ADDR:
            _, _, descriptors, used, available, _ = struct.unpack("<IIQQQQ", payload)
            row.descriptors, row.used, row.available = (self._here(at) for at in (descriptors, used, available))
            return
        value = int.from_bytes(payload[4:8], "little")
        if request == Request.SET_VRING_NUM:
            row.entries = value
        elif request == Request.SET_VRING_BASE:
            row.next = value
        elif value:
            self._enabled.add(index)
            if index == 0:  # buffers that are given back need no kick
                self._write_flags(int(row.used))
        else:
            self._enabled.discard(index)

    def _here(self, address: int) -> int:
        for k in range(REGIONS * self._number, REGIONS * (self._number + 1)):
            row = self._machines.regions[k]
            if 0 <= address - row.first < row.length:
                return int(row.address + address - row.first)
        raise GuestError(f"guest {self._name} has a queue outside of its memory", found=hex(address))

    def _write_flags(self, used: int) -> None:
        for octets in self._memory:
            at = used - octets.ctypes.data
            if 0 <= at < len(octets):
                octets[at] = NO_NOTIFY
