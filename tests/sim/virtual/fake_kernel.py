"""A guest's kernel as its calendar sees it: the clock and the network interface of User-mode Linux, in a thread.

It does what arch/um/kernel/time.c and arch/um/drivers/virtio_uml.c do (Linux 6.1), and notes what its kernel would
panic about: time that goes backwards.
"""

from __future__ import annotations

import array
import mmap
import os
import select
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from hostemu.sim.virtual.calendar import Calendar
from hostemu.sim.virtual.device import HEAD, Request
from hostemu.sim.virtual.rings import HEADER_BYTES
from hostemu.sim.virtual.tables import FOREVER_NS, RX, TX
from hostemu.sim.virtual.talk import (
    ACK,
    FREE_UNTIL,
    GET,
    NEED_REPLY,
    REPLY,
    REQUEST,
    RUN,
    START,
    UPDATE,
    VERSION,
    VRING_CALL,
    WAIT,
)

MESSAGE = struct.Struct("<IIQ")
BASE = 0x100000
QUEUE_BYTES = 0x4000
BUFFER_BYTES = 2048
ENTRIES = 16
NO_TIME = (1 << 64) - 1


class Ring:
    """A virtqueue in the guest's memory, and buffers of its own."""

    def __init__(self, memory: mmap.mmap, index: int) -> None:
        self.memory = memory
        at = index * (QUEUE_BYTES + ENTRIES * BUFFER_BYTES)
        self.descriptors, self.available, self.used = at, at + 0x1000, at + 0x2000
        self.buffers = at + QUEUE_BYTES
        self.offered = self.taken = 0

    def offer(self, size: int, writable: bool) -> int:
        """Make the next buffer available; its number."""
        number = self.offered % ENTRIES
        row = (BASE + self.buffers + number * BUFFER_BYTES, size, 2 if writable else 0, 0)
        struct.pack_into("<QIHH", self.memory, self.descriptors + 16 * number, *row)
        struct.pack_into("<H", self.memory, self.available + 4 + 2 * number, number)
        self.offered += 1
        struct.pack_into("<H", self.memory, self.available + 2, self.offered & 0xFFFF)
        return number

    def take(self) -> tuple[int, int] | None:
        """The next buffer that is the guest's again, and the bytes in it."""
        if struct.unpack_from("<H", self.memory, self.used + 2)[0] == self.taken & 0xFFFF:
            return None
        found: tuple[int, int] = struct.unpack_from("<II", self.memory, self.used + 4 + 8 * (self.taken % ENTRIES))
        self.taken += 1
        return found


@dataclass
class FakeKernel:
    """Guest `number`.  wake: called at its times and after interrupts; returns when it wants to be called next.

    came: (when, frame) of all frames.  panics: what its kernel would have said.
    """

    calendar: Calendar
    number: int
    wake: Callable[[FakeKernel], int]
    now_ns: int = 0
    came: list[tuple[int, bytes]] = field(default_factory=list)
    panics: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._free_until_ns = 0
        self._propagated_ns = 0
        self._seq = 0
        self._sockets: list[socket.socket] = []
        self._memory = mmap.mmap(-1, 1 << 20)
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Let it die; to be called while it waits."""
        self._clock.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)

    def _work(self) -> None:
        try:
            self._clock = self._open()
            self._clock.connect(str(self.calendar.clock_path))
            self._ask(START, self.number)
            self._plug()
            while True:
                self._sleep(self.wake(self))
        except OSError:
            pass  # the calendar is closed, or this guest is to end
        except AssertionError as error:
            self.panics.append(str(error))
        finally:
            for sock in self._sockets:
                sock.close()

    def _open(self) -> socket.socket:
        self._sockets.append(socket.socket(socket.AF_UNIX))
        return self._sockets[-1]

    def _set_time(self, time_ns: int) -> None:
        assert time_ns >= self.now_ns, f"time goes backwards {self.now_ns} -> {time_ns}"
        self.now_ns = time_ns

    def _hear(self) -> tuple[int, int, int]:
        data = self._clock.recv(MESSAGE.size, socket.MSG_WAITALL)
        if len(data) < MESSAGE.size:
            raise OSError("the calendar is gone")
        operation, seq, time_ns = MESSAGE.unpack(data)
        if operation == RUN:
            self._set_time(time_ns)
        elif operation == FREE_UNTIL:
            self._free_until_ns = time_ns
        if operation != ACK:
            self._clock.sendall(MESSAGE.pack(ACK, seq, 0))
        return operation, seq, time_ns

    def _ask(self, operation: int, time_ns: int) -> int:
        self._seq += 1
        self._clock.sendall(MESSAGE.pack(operation, self._seq, time_ns))
        while (heard := self._hear())[0] != ACK:
            pass
        assert heard[1] == self._seq, f"acknowledged {heard[1]}, asked {self._seq}"
        if operation == GET:
            self._set_time(heard[2])
        return heard[2]

    def _sleep(self, until_ns: int) -> None:
        """Until a moment, or an interrupt before; freely as far as that is allowed."""
        if until_ns < self._free_until_ns:
            self._set_time(until_ns)
            return
        self._ask(REQUEST, min(until_ns, FOREVER_NS))
        self._free_until_ns = 0
        self._ask(WAIT, NO_TIME)
        while True:
            ready = select.select([self._clock, self._calls], [], [])[0]
            if self._calls in ready:
                self._interrupted()
            elif self._hear()[0] == RUN:
                break
        self._collect()

    def _interrupted(self) -> None:
        head = HEAD.unpack(self._calls.recv(HEAD.size, socket.MSG_WAITALL))
        self._calls.recv(head[2], socket.MSG_WAITALL)
        assert head[0] == VRING_CALL
        self._ask(GET, NO_TIME)
        self._ask(REQUEST, self.now_ns)
        self._calls.sendall(HEAD.pack(head[0], VERSION | REPLY, 8) + bytes(8))

    def _collect(self) -> None:
        while (found := self._rx.take()) is not None:
            number, length = found
            at = self._rx.buffers + number * BUFFER_BYTES
            self.came.append((self.now_ns, self._memory[at + HEADER_BYTES : at + length]))
            self._rx.offer(BUFFER_BYTES, writable=True)

    def send(self, frame: bytes) -> None:
        """Send a frame now."""
        number = self._tx.offer(HEADER_BYTES + len(frame), writable=False)
        at = self._tx.buffers + number * BUFFER_BYTES
        self._memory[at : at + HEADER_BYTES + len(frame)] = bytes(HEADER_BYTES) + frame
        if self._propagated_ns != self.now_ns:
            self._ask(UPDATE, self.now_ns)
            self._propagated_ns = self.now_ns
        self._notice(Request.KICK, struct.pack("<II", TX, 0))
        while self._tx.take() is not None:
            pass

    def _notice(self, request: int, payload: bytes, fds: list[int] | None = None) -> bytes:
        message = HEAD.pack(request, VERSION | NEED_REPLY, len(payload)) + payload
        self._device.sendmsg(
            [message], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        )
        while self._device not in select.select([self._device, self._clock], [], [])[0]:
            self._hear()
        _, _, size = HEAD.unpack(self._device.recv(HEAD.size, socket.MSG_WAITALL))
        return self._device.recv(size, socket.MSG_WAITALL)

    def _plug(self) -> None:
        fd = os.memfd_create("guest")
        os.ftruncate(fd, 1 << 20)
        self._memory = mmap.mmap(fd, 1 << 20)
        self._device = self._open()
        self._device.connect(str(self.calendar.device_path(self.number)))
        self._rx, self._tx = Ring(self._memory, RX), Ring(self._memory, TX)
        struct.pack_into("<H", self._memory, self._tx.available, 1)  # it wants no interrupt for what it has sent
        self._calls, theirs = socket.socketpair()
        self._sockets.append(self._calls)
        self._notice(Request.GET_FEATURES, b"")
        self._notice(Request.GET_PROTOCOL_FEATURES, b"")
        with theirs:
            self._notice(Request.SET_SLAVE_REQ_FD, b"", [theirs.fileno()])
        self._notice(Request.SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, BASE, 1 << 20, BASE, 0), [fd])
        os.close(fd)
        for index, ring in ((RX, self._rx), (TX, self._tx)):
            self._notice(Request.SET_VRING_NUM, struct.pack("<II", index, ENTRIES))
            self._notice(Request.SET_VRING_BASE, struct.pack("<II", index, 0))
            parts = (BASE + ring.descriptors, BASE + ring.used, BASE + ring.available, NO_TIME)
            self._notice(Request.SET_VRING_ADDR, struct.pack("<IIQQQQ", index, 0, *parts))
            self._notice(Request.SET_VRING_ENABLE, struct.pack("<II", index, 1))
        for _ in range(ENTRIES):
            self._rx.offer(BUFFER_BYTES, writable=True)
