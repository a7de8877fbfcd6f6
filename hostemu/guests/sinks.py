"""Where the output of a program in a guest goes: a pipe, memory, a file, nowhere."""

from __future__ import annotations

import os
import select
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from hostemu.guests.switchboard import switchboard

Credit = Callable[[int], None]
"""Told how many bytes have been consumed."""


class Sink(ABC):
    """Takes output as it comes, without blocking; `credit` is told of what was consumed."""

    def __init__(self) -> None:
        self.credit: Credit = lambda _count: None

    @abstractmethod
    def feed(self, data: bytes) -> None:
        """More output."""

    @abstractmethod
    def end(self) -> None:
        """There will be no more; again is harmless."""


class Nowhere(Sink):
    """Drops everything."""

    def feed(self, data: bytes) -> None:
        self.credit(len(data))

    def end(self) -> None:
        return


class Memory(Sink):
    """Keeps everything in `content`."""

    def __init__(self) -> None:
        super().__init__()
        self.content = bytearray()

    def feed(self, data: bytes) -> None:
        self.content += data
        self.credit(len(data))

    def end(self) -> None:
        return


class File(Sink):
    """Writes everything into a file of the host's; what a full disk does not take is lost, the program goes on."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._file = path.open("wb", buffering=0)
        self._lock = threading.Lock()

    def feed(self, data: bytes) -> None:
        with self._lock, suppress(OSError):
            if not self._file.closed:  # a program that is forgotten may still have had something to say
                self._file.write(data)
        self.credit(len(data))

    def end(self) -> None:
        with self._lock:
            self._file.close()


class Pipe(Sink):
    """Hands everything on through a pipe; `read_fd` is the reader's.  Credits what the pipe has taken."""

    def __init__(self) -> None:
        super().__init__()
        self.read_fd, self._write_fd = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._write_fd, False)
        self._waiting = bytearray()
        self._is_registered = False
        self._ends = False
        self._lock = threading.Lock()

    def feed(self, data: bytes) -> None:
        with self._lock:
            self._waiting += data
            self._flush()

    def end(self) -> None:
        with self._lock:
            self._ends = True
            self._flush()

    def abandon(self) -> None:
        """The reader goes: drop what it has not read, close the pipe."""
        with self._lock:
            self._waiting.clear()
            self._close()

    def _writable(self, _events: int) -> None:
        with self._lock:
            self._flush()

    def _flush(self) -> None:
        try:
            while self._waiting and self._write_fd >= 0:
                count = os.write(self._write_fd, self._waiting)
                del self._waiting[:count]
                self.credit(count)
        except BlockingIOError:
            self._await_reader()
            return
        except OSError:  # nobody reads any more
            self._drop()
        if self._write_fd < 0:
            self._drop()
        if self._ends:
            self._close()

    def _drop(self) -> None:
        self.credit(len(self._waiting))
        self._waiting.clear()

    def _await_reader(self) -> None:
        if not self._is_registered:
            self._is_registered = True
            switchboard().register(self._write_fd, select.EPOLLOUT | select.EPOLLONESHOT, self._writable)
        else:
            switchboard().modify(self._write_fd, select.EPOLLOUT | select.EPOLLONESHOT)

    def _close(self) -> None:
        fd, self._write_fd = self._write_fd, -1
        if fd >= 0:
            if self._is_registered:
                switchboard().forget(fd)
            os.close(fd)
