"""A guest's kernel as the library that is loaded into it sees it, in a process of its own.

It speaks to its clock and its network interface as arch/um/kernel/time.c, irq.c and arch/um/drivers/virtio_uml.c do
(Linux 6.1), by the library's functions, and notes what its kernel would panic about: time that goes backwards.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import pickle
import select
import signal
import socket
import struct
from collections.abc import Callable
from contextlib import suppress

from hostemu.guests.uml import preloaded
from hostemu.guests.uml_virtual import INTERFACE
from hostemu.sim.virtual.calendar import Calendar
from hostemu.sim.virtual.tables import FOREVER_NS

ACK, START, REQUEST, WAIT, GET, UPDATE, RUN, FREE_UNTIL = range(8)
MESSAGE = struct.Struct("<IIQ")
NO_TIME = (1 << 64) - 1

HEAD = struct.Struct("<III")
GET_FEATURES, SET_MEM_TABLE, SET_VRING_NUM, SET_VRING_ADDR, SET_VRING_BASE = 1, 5, 8, 9, 10
GET_PROTOCOL_FEATURES, SET_VRING_ENABLE, SET_SLAVE_REQ_FD, GET_CONFIG, KICK, CALL = 15, 18, 21, 24, 35, 4
VERSION, REPLY, NEED_REPLY = 1, 4, 8
EPOLL_CTL_ADD = 1
RX, TX = range(2)
HEADER_BYTES = 12

BASE = 0x100000
MEMORY_BYTES = 1 << 20
QUEUE_BYTES = 0x4000
BUFFER_BYTES = 2048
ENTRIES = 16


class IoVec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class MsgHdr(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("iov", ctypes.POINTER(IoVec)),
        ("iov_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class PollFd(ctypes.Structure):
    _fields_ = (("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short))


class EpollEvent(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("events", ctypes.c_uint32), ("data", ctypes.c_uint64))


HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_int)


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


PR_SET_PDEATHSIG = 1  # prctl(2)


class FakeKernel:
    """Guest `number`.  wake: called at its times and after interrupts; returns when it wants to be called next.

    came: (when, frame) of all frames.  panics: what its kernel would have said.  Both are known once it has ended.
    """

    def __init__(self, calendar: Calendar, number: int, wake: Callable[[FakeKernel], int]) -> None:
        self.number = number
        self.came: list[tuple[int, bytes]] = []
        self.panics: list[str] = []
        self._wake = wake
        self._clock_path = str(calendar.clock_path)
        self._now = mmap.mmap(-1, 8)
        library = str(preloaded("virtual_time"))
        self._report, report = os.pipe()
        self._pid = os.fork()
        if self._pid == 0:
            self._work(library, report)
        os.close(report)

    @property
    def now_ns(self) -> int:
        """Its clock."""
        return int.from_bytes(self._now[:8], "little")

    def end(self) -> None:
        """Let it die, and hear what it has seen; to be called while it waits."""
        os.kill(self._pid, signal.SIGTERM)
        with os.fdopen(self._report, "rb") as report:
            self.came, self.panics = pickle.load(report)
        os.waitpid(self._pid, 0)

    def _work(self, library: str, report: int) -> None:
        """The process: until it is told to end, or the test's process is gone."""
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        try:
            os.environ["HOSTEMU_CALENDAR"] = self._clock_path
            self._library = ctypes.CDLL(library, use_errno=True)
            self._watch_signals(report)
            self._free_until_ns = self._propagated_ns = self._seq = 0
            self._start()
            self._plug()
            while True:
                self._sleep(self._wake(self))
        except BaseException as error:
            self.panics.append(repr(error))
            self._tell(report)

    def _tell(self, report: int) -> None:
        with suppress(OSError), os.fdopen(report, "wb") as pipe:
            pickle.dump((self.came, self.panics), pipe)
        os._exit(0)

    def _watch_signals(self, report: int) -> None:
        libc = ctypes.CDLL(None)
        libc.signal.restype = ctypes.c_void_p
        self._handlers = HANDLER(lambda _: self._guard(self._interrupted)), HANDLER(lambda _: self._tell(report))
        libc.signal(signal.SIGIO, self._handlers[0])
        libc.signal(signal.SIGTERM, self._handlers[1])

    def _guard(self, handler: Callable[[], None]) -> None:
        try:
            handler()
        except BaseException as error:
            self.panics.append(repr(error))

    def _set_time(self, time_ns: int) -> None:
        assert time_ns >= self.now_ns, f"time goes backwards {self.now_ns} -> {time_ns}"
        self._now[:8] = time_ns.to_bytes(8, "little")

    def _connect(self, path: str) -> int:
        fd = socket.socket(socket.AF_UNIX).detach()
        address = struct.pack("<H108s", socket.AF_UNIX, path.encode())
        assert self._library.connect(fd, address, len(address)) == 0
        return fd

    def _start(self) -> None:
        self._clock = self._connect(self._clock_path)
        self._ask(START, self.number)

    def _hear(self) -> tuple[int, int, int]:
        data = ctypes.create_string_buffer(MESSAGE.size)
        got = self._library.read(self._clock, data, MESSAGE.size)
        assert got == MESSAGE.size, f"invalid time-travel message: {got} bytes"
        operation, seq, time_ns = MESSAGE.unpack(data.raw)
        if operation == RUN:
            self._set_time(time_ns)
        elif operation == FREE_UNTIL:
            self._free_until_ns = time_ns
        if operation != ACK:
            self._say(ACK, seq, 0)
        return operation, seq, time_ns

    def _say(self, operation: int, seq: int, time_ns: int) -> None:
        assert self._library.write(self._clock, MESSAGE.pack(operation, seq, time_ns), MESSAGE.size) == MESSAGE.size

    def _ask(self, operation: int, time_ns: int) -> int:
        self._seq += 1
        seq = self._seq
        self._say(operation, seq, time_ns)
        while (heard := self._hear())[0] != ACK:
            pass
        assert heard[1] == seq, f"acknowledged {heard[1]}, asked {seq}"
        if operation == GET:
            self._set_time(heard[2])
        return heard[2]

    def _poll(self, *fds: int) -> list[bool]:
        asked = (PollFd * len(fds))(*(PollFd(fd, select.POLLIN, 0) for fd in fds))
        assert self._library.poll(asked, len(fds), -1) > 0
        return [bool(found.revents) for found in asked]

    def _sleep(self, until_ns: int) -> None:
        """Until a moment, or an interrupt before; freely as far as that is allowed."""
        if until_ns < self._free_until_ns:
            self._set_time(until_ns)
            return
        self._ask(REQUEST, min(until_ns, FOREVER_NS))
        self._free_until_ns = 0
        self._ask(WAIT, NO_TIME)
        while True:
            assert self._poll(self._clock) == [True]
            if self._hear()[0] == RUN:
                break
        self._collect()

    def _interrupted(self) -> None:
        """What a SIGIO has the kernel do while it waits for its clock."""
        event = EpollEvent()
        while self._library.epoll_wait(self._epoll, ctypes.byref(event), 1, 0) > 0:
            assert event.data == self._calls
            while (head := self._read(self._calls, HEAD.size)) is not None:
                request, flags, size = HEAD.unpack(head)
                assert (request, flags & ~NEED_REPLY) == (CALL, VERSION)
                assert self._read(self._calls, size) is not None
                self._ask(GET, NO_TIME)
                self._ask(REQUEST, self.now_ns)

    def _read(self, fd: int, size: int) -> bytes | None:
        data = ctypes.create_string_buffer(size)
        got = self._library.read(fd, data, size)
        assert got in (size, -1), f"{got} bytes of {size}"
        return data.raw if got == size else None

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
        self._request(KICK, struct.pack("<II", TX, 0))
        while self._tx.take() is not None:
            pass

    def _request(self, request: int, payload: bytes = b"", fd: int | None = None) -> bytes:
        """Ask the network interface; what it answers."""
        data = HEAD.pack(request, VERSION | NEED_REPLY, len(payload)) + payload
        buffer = ctypes.create_string_buffer(data, len(data))
        part = IoVec(ctypes.cast(buffer, ctypes.c_void_p), len(data))
        message = MsgHdr(iov=ctypes.pointer(part), iov_count=1)
        if fd is not None:
            rights = struct.pack("<QiiiI", 20, socket.SOL_SOCKET, socket.SCM_RIGHTS, fd, 0)
            control = ctypes.create_string_buffer(rights, len(rights))
            message.control, message.control_length = ctypes.cast(control, ctypes.c_void_p), len(rights)
        assert self._library.sendmsg(self._interface, ctypes.byref(message), 0) == len(data)
        assert self._poll(self._interface, self._clock)[0]
        head = self._read(self._interface, HEAD.size)
        assert head is not None
        answered, flags, size = HEAD.unpack(head)
        assert (answered, flags) == (request, VERSION | REPLY)
        answer = self._read(self._interface, size)
        assert answer is not None
        return answer

    def _plug(self) -> None:
        memory = os.memfd_create("guest")
        os.ftruncate(memory, MEMORY_BYTES)
        self._memory = mmap.mmap(memory, MEMORY_BYTES)
        self._interface = self._connect(INTERFACE)
        self._rx, self._tx = Ring(self._memory, RX), Ring(self._memory, TX)
        struct.pack_into("<H", self._memory, self._tx.available, 1)  # it wants no interrupt for what it has sent
        assert self._request(GET_FEATURES) != bytes(8)
        assert self._request(GET_PROTOCOL_FEATURES) != bytes(8)
        self._watch_calls()
        self._demand(SET_MEM_TABLE, struct.pack("<IIQQQQ", 1, 0, BASE, MEMORY_BYTES, BASE, 0), memory)
        os.close(memory)
        for index, ring in ((RX, self._rx), (TX, self._tx)):
            self._demand(SET_VRING_NUM, struct.pack("<II", index, ENTRIES))
            self._demand(SET_VRING_BASE, struct.pack("<II", index, 0))
            parts = (BASE + ring.descriptors, BASE + ring.used, BASE + ring.available, NO_TIME)
            self._demand(SET_VRING_ADDR, struct.pack("<IIQQQQ", index, 0, *parts))
            self._demand(SET_VRING_ENABLE, struct.pack("<II", index, 1))
        for _ in range(ENTRIES):
            self._rx.offer(BUFFER_BYTES, writable=True)

    def _demand(self, request: int, payload: bytes, fd: int | None = None) -> None:
        assert self._request(request, payload, fd) == bytes(8), f"request {request} was refused"

    def _watch_calls(self) -> None:
        pair = (ctypes.c_int * 2)()
        assert self._library.socketpair(socket.AF_UNIX, socket.SOCK_STREAM, 0, pair) == 0
        self._calls = pair[0]
        self._watching = select.epoll()
        self._epoll = self._watching.fileno()
        event = EpollEvent(select.EPOLLIN, self._calls)
        assert self._library.epoll_ctl(self._epoll, EPOLL_CTL_ADD, self._calls, ctypes.byref(event)) == 0
        self._demand(SET_SLAVE_REQ_FD, b"", pair[1])
