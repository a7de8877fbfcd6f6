"""stdin, stdout and signals of a program, none of which may ever block it."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

from hostemu.retrieval.reactor import Reactor

MAX_LINE_BYTES = 1 << 16
MAX_UNREAD_BYTES = 1 << 20
"""Lines for a reader that does not read; later ones are dropped."""

LAST_WORDS_S = 2.0
READ_BYTES = 1 << 16

Fields = dict[str, Any]


class Console:
    """stdin, stdout and signals, driven by the reactor.  A reader that is slow or gone blocks nothing."""

    def __init__(self, reactor: Reactor, on_command: Callable[[Fields], None]) -> None:
        self._reactor = reactor
        self._on_command = on_command
        self._in = b""
        self._out = b""
        self._in_fd, self._out_fd = 0, 1
        self._is_waiting = False
        self._signal_fds = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._old_handlers: list[tuple[int, Any]] = []

    def __enter__(self) -> Console:
        signal.set_wakeup_fd(self._signal_fds[1], warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._old_handlers.append((number, signal.signal(number, lambda *_: None)))
        self._reactor.register(self._signal_fds[0], select.EPOLLIN, lambda _: self._reactor.stop())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._write_last_words()
        signal.set_wakeup_fd(-1)
        for number, handler in self._old_handlers:
            signal.signal(number, handler)
        for fd in self._signal_fds:
            os.close(fd)

    def listen(self) -> None:
        """Take commands from now on."""
        try:
            self._reactor.register(self._in_fd, select.EPOLLIN, self._read)
        except PermissionError:  # a plain file or /dev/null, which are always readable
            self._reactor.call_soon(self._read_plain)

    def emit(self, event: str, fields: Mapping[str, Any]) -> None:
        """Send one line."""
        line = json.dumps({"event": event, **fields}).encode() + b"\n"
        if len(self._out) + len(line) <= MAX_UNREAD_BYTES:
            self._out += line
        self._write()

    def _read(self, _: int) -> None:
        try:
            data = os.read(self._in_fd, READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._reactor.stop()
            return
        *lines, self._in = (self._in + data).split(b"\n")
        for line in lines:
            self._obey(line)
        if len(self._in) > MAX_LINE_BYTES:
            print(f"command of more than {MAX_LINE_BYTES} bytes: dropped", file=sys.stderr)
            self._in = b""

    def _read_plain(self) -> None:
        while data := os.read(self._in_fd, READ_BYTES):
            self._in += data
        for line in self._in.split(b"\n"):
            self._obey(line)
        self._reactor.stop()

    def _obey(self, line: bytes) -> None:
        if not line.strip():
            return
        try:
            command = json.loads(line)
        except ValueError:
            command = None
        if isinstance(command, dict):
            self._on_command(command)
        else:
            print(f"not a command: {line[:80]!r}", file=sys.stderr)

    def _can_write(self, timeout_s: float) -> bool:
        """A pipe that is writable takes PIPE_BUF bytes without blocking."""
        return bool(select.select((), [self._out_fd], (), timeout_s)[1])

    def _write_some(self, timeout_s: float) -> bool:
        """Write one piece; False when the reader takes none within `timeout_s`."""
        if not self._can_write(timeout_s):
            return False
        try:
            sent = os.write(self._out_fd, self._out[: select.PIPE_BUF])
        except OSError:
            self._reactor.stop()  # nobody listens any more
            self._out = b""
            return False
        self._out = self._out[sent:]
        return True

    def _write(self) -> None:
        while self._out and self._write_some(0.0):
            pass
        self._await_reader(bool(self._out))

    def _await_reader(self, is_needed: bool) -> None:
        if is_needed and not self._is_waiting:
            self._reactor.register(self._out_fd, select.EPOLLOUT, lambda _: self._write())
        elif self._is_waiting and not is_needed:
            self._reactor.unregister(self._out_fd)
        self._is_waiting = is_needed

    def _write_last_words(self) -> None:
        give_up_at = time.monotonic() + LAST_WORDS_S
        while self._out and self._write_some(max(0.0, give_up_at - time.monotonic())):
            pass
