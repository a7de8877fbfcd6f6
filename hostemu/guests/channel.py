"""The host's end of the channel to a guest's agent; its language is described in native/frames.h.

Answers arrive in the switchboard's thread and wake whoever waits.  Nothing here waits without a deadline.
"""

from __future__ import annotations

import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from itertools import count

from hostemu.base.deadline import Deadline
from hostemu.base.errors import GuestError
from hostemu.guests.switchboard import Board, switchboard

HEAD = struct.Struct("<IBBH")
MAX_PAYLOAD = 1 << 16
WINDOW_BYTES = 1 << 16
VERSION = 1
READ_BYTES = 1 << 18
STREAMS = (1 << 16) - 1
"""Of programs and requests; stream 0 is nobody's."""

ANSWER_S = 20.0
"""What a living guest may take to answer, on a machine that has much to do."""

CLOCK_ROUNDS = 5
SEED_BYTES = 64


class FrameKind(IntEnum):
    """Type octet of a frame, as in native/frames.h."""

    SPAWN = 1
    STDIN = 2
    SIGNAL = 3
    CREDIT = 4
    NETLINK = 5
    CLOCK = 6
    RESEED = 7
    READ = 8
    WRITE = 9
    USAGE = 10
    MOUNT = 11
    END = 12
    FORGET = 13
    READY = 32
    STARTED = 33
    STDOUT = 34
    STDERR = 35
    EXIT = 36
    ANSWER = 37
    ACK = 38


Receiver = Callable[[FrameKind, bytes], None]
"""Takes the frames of one stream, in the switchboard's thread."""


class FrameSplitter:
    """Cuts a byte stream into frames (kind, stream, payload); ValueError when it is none of the agent's."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> list[tuple[FrameKind, int, bytes]]:
        """The frames that are complete now."""
        self._data += data
        frames, at = [], 0
        while len(self._data) - at >= HEAD.size:
            length, kind, zero, stream = HEAD.unpack_from(self._data, at)
            if length > MAX_PAYLOAD or zero:
                raise ValueError(f"no frame of an agent: {bytes(self._data[at : at + 16])!r}")
            if len(self._data) - at < HEAD.size + length:
                break
            at += HEAD.size
            frames.append((FrameKind(kind), stream, bytes(self._data[at : at + length])))
            at += length
        del self._data[:at]
        return frames


def frame(kind: FrameKind, stream: int, payload: bytes = b"") -> bytes:
    """One frame as bytes; ValueError when the payload is too long."""
    if len(payload) > MAX_PAYLOAD:
        raise ValueError(f"a payload of {len(payload)} bytes, at most {MAX_PAYLOAD}")
    return HEAD.pack(len(payload), kind, 0, stream) + payload


def strings(*words: str) -> bytes:
    """NUL-terminated words."""
    return b"".join(word.encode() + b"\0" for word in words)


def spawn_payload(argv: Sequence[str], env: Mapping[str, str], folder: str, root: str) -> bytes:
    """What SPAWN carries."""
    settings = [f"{name}={value}" for name, value in env.items()]
    return struct.pack("<HH", len(argv), len(settings)) + strings(folder, root, *argv, *settings)


class Channel:
    """Requests to one agent and what comes back.  `release`: the guest's kernel, once it is ready.

    Every request raises GuestError once the guest's end is closed, and DeadlineExceeded when no answer comes.
    """

    def __init__(
        self, sock: socket.socket, guest: str, line_bytes: int | None = None, board: Board | None = None
    ) -> None:
        """sock: a connected stream socket whose other end the guest has; it becomes the channel's.

        line_bytes: how much may be on its way to an agent that acknowledges what it reads.
        board: serves the socket, and lets time pass while somebody waits; None: this process' switchboard.
        """
        self.release = ""
        self.changed = threading.Condition()
        self.is_open = True
        self._guest = guest
        self._sock = sock
        self._splitter = FrameSplitter()
        self._receivers: dict[int, Receiver] = {}
        self._numbers = count()
        self._unsent: deque[bytes] = deque()
        self._line_bytes = line_bytes
        self._unread_bytes = 0
        self._netlink_answers: deque[bytes] = deque()
        self._is_ready = False
        sock.setblocking(False)
        self._board: Board = board or switchboard()
        self._board.register(sock.fileno(), select.EPOLLIN, self._served)

    def close(self) -> None:
        """Close the host's end; harmless again."""
        with self.changed:
            self.is_open = False
            if self._sock.fileno() >= 0:
                self._board.forget(self._sock.fileno())
                self._sock.close()
            self._receivers.clear()
            self.changed.notify_all()

    def wait_ready(self, deadline: Deadline) -> None:
        """Until the agent has said that it is there."""
        self.await_change(lambda: self._is_ready, deadline)

    def await_change(self, condition: Callable[[], bool], deadline: Deadline) -> None:
        """Until `condition` holds, which is looked at whenever something has come in."""
        with self.changed:
            while not condition():
                if not self.is_open:
                    raise self.lost()
                deadline.check()
                self.wait(deadline.left_s())

    def wait(self, at_most_s: float) -> None:
        """Until something has come in, or a while is over; to be called with `changed` held."""
        self._board.wait(self.changed, at_most_s)

    def lost(self) -> GuestError:
        """The error that says that the guest's end is closed."""
        return GuestError(
            f"guest {self._guest} has died", expected="an answer from it", found="its channel is closed"
        )

    def open_stream(self, receiver: Receiver) -> int:
        """A stream number whose frames go to `receiver` until `close_stream`."""
        with self.changed:
            stream = next(number for value in self._numbers if (number := 1 + value % STREAMS) not in self._receivers)
            self._receivers[stream] = receiver
            return stream

    def close_stream(self, stream: int) -> None:
        """Frames of this stream are dropped from now on."""
        with self.changed:
            self._receivers.pop(stream, None)

    def send(self, kind: FrameKind, stream: int, payload: bytes = b"") -> None:
        """Send a frame, now or as soon as the guest takes it; GuestError when it is gone."""
        with self.changed:
            if not self.is_open:
                raise self.lost()
            self._unsent.append(frame(kind, stream, payload))
            self._flush()

    def request(self, kind: FrameKind, payload: bytes, deadline: Deadline) -> bytes:
        """Send a request and wait for its ANSWER."""
        answers: list[bytes] = []
        stream = self.open_stream(lambda _kind, answer: answers.append(answer))
        try:
            self.send(kind, stream, payload)
            self.await_change(lambda: bool(answers), deadline)
        finally:
            self.close_stream(stream)
        return answers[0]

    def checked(self, kind: FrameKind, payload: bytes, deadline: Deadline) -> bytes:
        """As `request`, of a kind whose answer begins with an errno; OSError when that is not 0."""
        answer = self.request(kind, payload, deadline)
        number = int.from_bytes(answer[:4], "little")
        if number:
            raise OSError(number, os.strerror(number))
        return answer[4:]

    def clock_offset_ns(self, deadline: Deadline) -> int:
        """The guest's monotonic clock minus ours, from the quickest of a few questions."""
        best_ns, offset_ns = 1 << 62, 0
        for _ in range(CLOCK_ROUNDS):
            asked_ns = time.monotonic_ns()
            answer = self.request(FrameKind.CLOCK, b"", deadline)
            took_ns = time.monotonic_ns() - asked_ns
            if took_ns < best_ns:
                guest_ns = int.from_bytes(answer[:8], "little")
                best_ns, offset_ns = took_ns, guest_ns - asked_ns - took_ns // 2
        return offset_ns

    def reseed(self, deadline: Deadline) -> None:
        """Give the guest wall time and randomness of its own."""
        self.checked(FrameKind.RESEED, struct.pack("<Q", time.time_ns()) + os.urandom(SEED_BYTES), deadline)

    def netlink(self, batch: bytes, deadline: Deadline) -> Callable[[], bytes]:
        """Send rtnetlink messages; returns a function that waits for the next of the kernel's answers."""
        self._netlink_answers.clear()
        self.send(FrameKind.NETLINK, 0, batch)

        def answer() -> bytes:
            self.await_change(lambda: bool(self._netlink_answers), deadline)
            return self._netlink_answers.popleft()

        return answer

    def _served(self, events: int) -> None:
        with self.changed:
            if self._sock.fileno() < 0:
                return
            if events & select.EPOLLOUT:
                self._flush()
            frames = self._receive() if events & ~select.EPOLLOUT else []
            receivers = [(self._receivers.get(stream), kind, payload) for kind, stream, payload in frames]
        for receiver, kind, payload in receivers:
            if receiver is not None:
                receiver(kind, payload)
        if frames:
            with self.changed:
                self.changed.notify_all()

    def _receive(self) -> list[tuple[FrameKind, int, bytes]]:
        """What has come in, but for what this channel itself is told."""
        try:
            data = self._sock.recv(READ_BYTES)
            frames = self._splitter.feed(data)
        except BlockingIOError:
            return []
        except (OSError, ValueError):
            data, frames = b"", []
        if not data:
            self.is_open = False
            self._board.forget(self._sock.fileno())
            self.changed.notify_all()
        rest: list[tuple[FrameKind, int, bytes]] = []
        for kind, stream, payload in frames:
            if kind is FrameKind.READY:
                self._is_ready, self.release = True, payload[4:].decode()
            elif kind is FrameKind.NETLINK:
                self._netlink_answers.append(payload)
            elif kind is FrameKind.ACK:
                self._unread_bytes -= int.from_bytes(payload, "little")
                self._flush()
            else:
                rest.append((kind, stream, payload))
        if len(rest) < len(frames):
            self.changed.notify_all()
        return rest

    def _flush(self) -> None:
        """Send what can be sent now; the switchboard sends the rest."""
        try:
            while self._unsent and (room := self._room()):
                sent = self._sock.send(self._unsent[0][:room])
                self._board.sent(self._sock.fileno())
                self._unread_bytes += sent
                if sent == len(self._unsent[0]):
                    self._unsent.popleft()
                else:
                    self._unsent[0] = self._unsent[0][sent:]
        except BlockingIOError:
            pass
        except OSError:
            self._unsent.clear()
        wanted = select.EPOLLIN | (select.EPOLLOUT if self._unsent and self._room() else 0)
        self._board.modify(self._sock.fileno(), wanted)

    def _room(self) -> int:
        """How many bytes may be sent now."""
        return READ_BYTES if self._line_bytes is None else self._line_bytes - self._unread_bytes


def answer_soon(what: str) -> Deadline:
    """A deadline for what a living guest does at once."""
    return Deadline.after(ANSWER_S, what)


class AgentEndpoint:
    """Talks rtnetlink with the guest's kernel."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._next: Callable[[], bytes] = bytes

    def send(self, data: bytes, /) -> None:
        self._next = self._channel.netlink(data, answer_soon("the guest's kernel to answer"))

    def recv(self, size: int, /) -> bytes:
        return self._next()

    def close(self) -> None:
        return
