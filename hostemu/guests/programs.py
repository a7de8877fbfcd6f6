"""A program in a guest with a kernel of its own, started and talked to through the guest's agent."""

from __future__ import annotations

import errno
import io
import os
import signal
import struct
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import GuestError
from hostemu.guests.api import STOP_S, Finished, GuestProcess, ProcessUsage
from hostemu.guests.channel import MAX_PAYLOAD, WINDOW_BYTES, Channel, FrameKind, spawn_payload
from hostemu.guests.sinks import File, Memory, Nowhere, Pipe, Sink

LOST = 137
"""Exit status of a program that is forgotten, or whose guest has died: it was killed."""

START_S = 20.0
PIECE_BYTES = 1 << 15
_EXIT = struct.Struct("<IQQ")
_USAGE = struct.Struct("<QQQ")


class RemoteProgram:
    """One program, from the order to start it until the agent has said that it is over."""

    def __init__(self, channel: Channel, out: Sink, err: Sink) -> None:
        self._channel = channel
        self._sinks = {FrameKind.STDOUT: out, FrameKind.STDERR: err}
        self._room_bytes = WINDOW_BYTES
        self._errno: int | None = None
        self._status: int | None = None
        self._final = ProcessUsage()
        self._asked: deque[list[ProcessUsage]] = deque()
        self._stream = channel.open_stream(self._receive)
        for sink in (out, err):
            sink.credit = self._credit

    def start(self, argv: Sequence[str], env: Mapping[str, str], folder: str, root: str, deadline: Deadline) -> None:
        """Start it in a folder of the guest's; OSError when there is no such program.  root: chroot(2) into it."""
        payload = spawn_payload(argv, env, folder, root)
        if len(payload) > MAX_PAYLOAD:
            self.end()
            raise OSError(errno.E2BIG, os.strerror(errno.E2BIG), argv[0])
        self._channel.send(FrameKind.SPAWN, self._stream, payload)
        self._channel.await_change(lambda: self._errno is not None, deadline)
        if self._errno:
            self.end()
            raise OSError(self._errno, os.strerror(self._errno), argv[0])

    def poll(self) -> int | None:
        """The exit status; None while it runs; LOST when the guest has died."""
        if self._status is None and not self._channel.is_open:
            return LOST
        return self._status

    def wait(self, deadline: Deadline) -> int:
        """The exit status, once it has ended; DeadlineExceeded; LOST when the guest has died."""
        with suppress(GuestError):
            self._channel.await_change(lambda: self._status is not None, deadline)
        return LOST if self._status is None else self._status

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; SIGKILL goes to all descendants, too.  Harmless when it has ended."""
        if self.poll() is None:
            with suppress(GuestError):
                self._channel.send(FrameKind.SIGNAL, self._stream, bytes([number]))

    def write(self, data: bytes, deadline: Deadline | None = None) -> None:
        """Hand input on, as fast as it is consumed; BrokenPipeError when the program is over."""
        forever = deadline or Deadline.after(1e6, "the program to read")
        for at in range(0, len(data), PIECE_BYTES):
            piece = data[at : at + PIECE_BYTES]
            with self._channel.changed:
                while self._room_bytes < len(piece) and self.poll() is None:
                    forever.check()
                    self._channel.wait(forever.left_s())
                if self.poll() is not None:
                    raise BrokenPipeError(32, "the program has ended")
                self._room_bytes -= len(piece)
                self._channel.send(FrameKind.STDIN, self._stream, piece)

    def end_input(self) -> None:
        """There is no more input; harmless when the program is over."""
        if self.poll() is None:
            with suppress(GuestError):
                self._channel.send(FrameKind.STDIN, self._stream)

    def usage(self) -> ProcessUsage:
        """What it and its descendants have used until now, or until its end."""
        if self.poll() is not None:
            return self._final
        answers: list[ProcessUsage] = []
        deadline = Deadline.after(START_S, "the agent's answer")
        with self._channel.changed:  # several threads may ask; they are answered in the order of their questions
            self._asked.append(answers)
            self._channel.send(FrameKind.USAGE, self._stream)
        self._channel.await_change(lambda: bool(answers) or self._status is not None, deadline)
        return answers[0] if answers else self._final

    def end(self) -> None:
        """Forget it, and kill it if it is still there; its output goes nowhere any more.  Harmless again."""
        if self._status is None:
            self._status = LOST
            with suppress(GuestError):
                self._channel.send(FrameKind.FORGET, self._stream)
        self._channel.close_stream(self._stream)
        for sink in self._sinks.values():
            sink.end()

    def _receive(self, kind: FrameKind, payload: bytes) -> None:
        if kind in self._sinks:
            if payload:
                self._sinks[kind].feed(payload)
            else:
                self._sinks[kind].end()
        elif kind is FrameKind.CREDIT:
            with self._channel.changed:
                self._room_bytes += int.from_bytes(payload, "little")
        elif kind is FrameKind.STARTED:
            self._errno = int.from_bytes(payload, "little")
        elif kind is FrameKind.EXIT:
            wait_status, cpu_us, peak_bytes = _EXIT.unpack(payload)
            code = os.waitstatus_to_exitcode(wait_status)
            self._final = ProcessUsage(cpu_us / 1e6, 0, peak_bytes)
            self._status = code if code >= 0 else 128 - code
        elif kind is FrameKind.ANSWER and len(payload) == _USAGE.size:
            cpu_us, resident_bytes, peak_bytes = _USAGE.unpack(payload)
            self._asked.popleft().append(ProcessUsage(cpu_us / 1e6, resident_bytes, peak_bytes))

    def _credit(self, consumed_bytes: int) -> None:
        if consumed_bytes and self._status is None:
            with suppress(GuestError):
                self._channel.send(FrameKind.CREDIT, self._stream, struct.pack("<I", consumed_bytes))


class _Input(io.RawIOBase):
    """The program's standard input as a file."""

    def __init__(self, program: RemoteProgram) -> None:
        self._program = program

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        if self.closed:
            raise ValueError("write to closed file")
        content = bytes(data)  # type: ignore[call-overload]
        self._program.write(content)
        return len(content)

    def close(self) -> None:
        if not self.closed:
            self._program.end_input()
        super().close()


class AgentProcess(GuestProcess):
    """A program with pipes for its input and output."""

    def __init__(
        self,
        channel: Channel,
        argv: Sequence[str],
        env: Mapping[str, str],
        place: tuple[str, str],
        log: Path | None,
    ) -> None:
        """place: folder and root.  OSError when there is no such program."""
        with ExitStack() as undo:
            self._pipe = Pipe()
            self.stdout = undo.enter_context(os.fdopen(self._pipe.read_fd, "rb", buffering=0))
            undo.callback(self._pipe.abandon)
            self._program = RemoteProgram(channel, self._pipe, Nowhere() if log is None else File(log))
            undo.callback(self._program.end)  # one that starts too late is to be forgotten
            self._program.start(argv, env, *place, Deadline.after(START_S, f"{argv[0]} to start"))
            undo.pop_all()
        self.stdin = _Input(self._program)  # type: ignore[assignment]

    def poll(self) -> int | None:
        return self._program.poll()

    def wait(self, deadline: Deadline) -> int:
        return self._program.wait(deadline)

    def terminate(self) -> None:
        self._program.signal(signal.SIGTERM)

    def kill(self) -> None:
        self._program.signal(signal.SIGKILL)

    def usage(self) -> ProcessUsage:
        return self._program.usage()

    def stop(self, grace_s: float = STOP_S) -> int:
        try:
            return super().stop(grace_s)
        finally:
            self._pipe.abandon()
            self._program.end()
            self.stdout.close()


def finish(
    channel: Channel,
    argv: Sequence[str],
    env: Mapping[str, str],
    place: tuple[str, str],
    stdin: bytes,
    deadline: Deadline,
) -> Finished:
    """Run a command to its end.

    OSError when there is no such program; DeadlineExceeded, after it was killed; GuestError when the guest dies.
    """
    out, err = Memory(), Memory()
    program = RemoteProgram(channel, out, err)
    try:
        program.start(argv, env, *place, deadline)
        with suppress(BrokenPipeError):
            program.write(stdin, deadline)
        program.end_input()
        status = program.wait(deadline)
        if status == LOST and not channel.is_open:
            raise channel.lost()
    finally:
        program.end()
    return Finished(tuple(argv), status, bytes(out.content), bytes(err.content))
