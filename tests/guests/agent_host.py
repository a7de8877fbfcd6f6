"""The host of an agent that runs as an ordinary process: what it has ordered, and an account of what came back."""

from __future__ import annotations

import errno
import os
import signal
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from hostemu.guests.channel import (
    HEAD,
    VERSION,
    WINDOW_BYTES,
    FrameKind,
    FrameSplitter,
    spawn_payload,
)

PLACES = 64
"""MAX_PROGRAMS of native/agent.h."""

PATIENCE_S = 20.0
ENVIRONMENT = {"PATH": os.environ["PATH"]}


@dataclass
class Program:
    """What the host knows of a program; streams are never used again."""

    stream: int
    argv: list[str]
    expected: Callable[[Program], bytes]
    given: bytearray = field(default_factory=bytearray)
    has_input: bool = True
    is_disturbed: bool = False
    is_forgotten: bool = False
    errno: int | None = None
    output: dict[FrameKind, bytearray] = field(
        default_factory=lambda: {FrameKind.STDOUT: bytearray(), FrameKind.STDERR: bytearray()}
    )
    ended: set[FrameKind] = field(default_factory=set)
    unread: int = 0
    room: int = WINDOW_BYTES
    status: int | None = None
    answers: list[bytes] = field(default_factory=list)

    def take(self, kind: FrameKind, payload: bytes) -> None:
        """A frame about it; every rule of the protocol is held against it."""
        assert self.status is None or kind is FrameKind.ANSWER, f"{kind.name} after EXIT"
        if kind is FrameKind.STARTED:
            assert self.errno is None
            self.errno = int.from_bytes(payload, "little")
        elif kind in self.output:
            assert kind not in self.ended, f"{kind.name} after its end"
            self.output[kind] += payload
            self.unread += len(payload)
            assert self.unread <= WINDOW_BYTES
            if not payload:
                self.ended.add(kind)
        elif kind is FrameKind.CREDIT:
            self.room += int.from_bytes(payload, "little")
            assert self.room <= WINDOW_BYTES
        elif kind is FrameKind.EXIT:
            assert self.ended == set(self.output) or self.is_forgotten
            self.status = struct.unpack_from("<I", payload)[0]
        else:
            assert kind is FrameKind.ANSWER
            self.answers.append(payload)

    def judge(self) -> None:
        """It is over: was everything said?"""
        said = bytes(self.output[FrameKind.STDOUT] + self.output[FrameKind.STDERR])
        expected = self.expected(self)
        assert expected.startswith(said)
        if not self.is_disturbed:
            assert said == expected
            assert self.status == (0x300 if self.argv[-1].endswith("exit 3") else 0)


ECHO: Callable[[Program], bytes] = lambda program: bytes(program.given)  # noqa: E731
KINDS: dict[str, tuple[list[str], Callable[[Program], bytes]]] = {
    "echo": (["cat"], ECHO),
    "grumble": (["sh", "-c", "exec cat >&2"], ECHO),
    "much": (["head", "-c", "200000", "/dev/zero"], lambda _program: bytes(200_000)),
    "deaf": (["sh", "-c", "exec <&-; echo deaf; exit 3"], lambda _program: b"deaf\n"),
    "family": (["sh", "-c", "sleep 1000 & setsid sleep 1000 & cat"], ECHO),
}


class Host:
    """The agent's host: sends orders, and keeps account of what comes back."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._splitter = FrameSplitter()
        self._streams = iter(range(1, 1 << 16))
        self.programs: dict[int, Program] = {}
        self.others: list[tuple[FrameKind, int, bytes]] = []
        self.await_that(lambda: bool(self.others))
        kind, _, hello = self.others.pop()
        assert (kind, hello[:4]) == (FrameKind.READY, struct.pack("<I", VERSION))
        assert hello[4:].decode() == os.uname().release

    def send(self, kind: int, stream: int, payload: bytes = b"") -> None:
        """One frame, of any type."""
        self.send_bytes(HEAD.pack(len(payload), kind, 0, stream) + payload)
        self.listen(0.0)

    def send_bytes(self, data: bytes) -> None:
        """Any part of a frame."""
        self._sock.settimeout(PATIENCE_S)
        self._sock.sendall(data)

    def listen(self, seconds: float) -> None:
        """Take what comes in for so long at most, once."""
        self._sock.settimeout(max(seconds, 1e-6))
        try:
            data = self._sock.recv(1 << 18)
        except (TimeoutError, BlockingIOError):
            return
        assert data, "the agent has ended"
        for kind, stream, payload in self._splitter.feed(data):
            program = self.programs.get(stream)
            if program is None or program.is_forgotten:
                self.others.append((kind, stream, payload))
            else:
                program.take(kind, payload)

    def await_that(self, condition: Callable[[], bool]) -> None:
        """Listen until it holds."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, "the agent does not answer"
            self.listen(0.1)

    def spawn(self, kind: str) -> Program:
        """Order a program of one of the kinds; its stream is new."""
        argv, expected = KINDS[kind]
        program = Program(next(self._streams), argv, expected)
        self.programs[program.stream] = program
        self.send(FrameKind.SPAWN, program.stream, spawn_payload(argv, ENVIRONMENT, "", ""))
        return program

    def feed(self, program: Program, data: bytes) -> None:
        """Give it input, as much as the protocol allows now."""
        data = data[: program.room] if program.has_input and not program.is_forgotten else b""
        if data:
            program.room -= len(data)
            program.given += data
            self.send(FrameKind.STDIN, program.stream, data)

    def end_input(self, program: Program) -> None:
        """There is no more."""
        program.has_input = False
        self.send(FrameKind.STDIN, program.stream)

    def credit(self, program: Program, count: int) -> None:
        """Tell that so much of its output was read."""
        program.unread -= count
        self.send(FrameKind.CREDIT, program.stream, struct.pack("<I", count))

    def signal(self, program: Program, number: int) -> None:
        """Send it a signal."""
        program.is_disturbed = True
        self.send(FrameKind.SIGNAL, program.stream, bytes([number]))

    def forget(self, program: Program) -> None:
        """Have no more of it."""
        program.is_forgotten = True
        self.send(FrameKind.FORGET, program.stream)

    def usage(self, program: Program) -> None:
        """Ask what it uses; the answer is looked at in the end."""
        if not program.is_forgotten and program.status is None:
            self.send(FrameKind.USAGE, program.stream)

    def finish(self) -> None:
        """Read everything to the end, and see that all of it was said."""
        living = [program for program in self.programs.values() if not program.is_forgotten]
        for program in living:
            if program.is_disturbed:
                self.send(FrameKind.SIGNAL, program.stream, bytes([signal.SIGCONT]))
            self.end_input(program)
        self.await_that(lambda: all(self._advanced(program) for program in living))
        for program in living:
            program.judge()

    def _advanced(self, program: Program) -> bool:
        if program.unread and program.status is None:
            self.credit(program, program.unread)
        return program.status is not None

    def fill(self) -> list[Program]:
        """As many programs at once as there are places; forgotten ones may take a moment to die."""
        running: list[Program] = []
        end_s = time.monotonic() + PATIENCE_S
        while len(running) < PLACES:
            program = self.spawn("echo")
            self.await_that(lambda program=program: program.errno is not None)  # type: ignore[misc]
            if program.errno == 0:
                running.append(program)
            else:
                assert program.errno == errno.EAGAIN
                assert time.monotonic() < end_s, f"{PLACES - len(running)} places are not free"
                self.programs.pop(program.stream)
                time.sleep(0.01)
        return running
