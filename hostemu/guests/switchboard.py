"""One thread that waits for the descriptors of all guests of this process and never blocks on any of them."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

Handler = Callable[[int], None]
"""Called in the switchboard's thread with the epoll events of its descriptor; must not block."""


class Board(Protocol):
    """What channels to guests are served by."""

    def register(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` whenever one of these events holds."""

    def modify(self, fd: int, events: int) -> None:
        """Wait for other events of a descriptor; harmless when it is not registered any more."""

    def forget(self, fd: int) -> None:
        """Call nothing for this descriptor any more; to be called before it is closed."""

    def sent(self, fd: int) -> None:
        """Something was sent to whoever has the other end."""

    def wait(self, changed: threading.Condition, at_most_s: float) -> None:
        """Until a handler has told `changed`, which the caller holds, or a while is over."""


class Switchboard:
    """Handlers by descriptor.  Any thread may call; descriptors must not block when read or written."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        threading.Thread(target=self._run, name="switchboard", daemon=True).start()

    def register(self, fd: int, events: int, handler: Handler) -> None:
        """Call `handler` whenever one of these events holds."""
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """Wait for other events of a descriptor; harmless when it is not registered any more."""
        with suppress(OSError, ValueError):
            self._epoll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """Call nothing for this descriptor any more; to be called before it is closed."""
        self._handlers.pop(fd, None)
        with suppress(OSError, ValueError):
            self._epoll.unregister(fd)

    def sent(self, fd: int) -> None:
        """Guests see by themselves what is sent to them."""

    def wait(self, changed: threading.Condition, at_most_s: float) -> None:
        """The thread tells `changed`."""
        changed.wait(at_most_s)

    def _run(self) -> None:
        while True:
            for fd, events in self._epoll.poll():
                # A number that was closed and given out again meanwhile is asked once too often: harmless.
                handler = self._handlers.get(fd)
                if handler is not None:
                    self._call(fd, handler, events)

    def _call(self, fd: int, handler: Handler, events: int) -> None:
        try:
            handler(events)
        except Exception:  # a fault of ours must not make all other guests fall silent
            self.forget(fd)
            threading.excepthook(threading.ExceptHookArgs((*sys.exc_info(), threading.current_thread())))


_lock = threading.Lock()
_boards: dict[int, Switchboard] = {}


def switchboard() -> Switchboard:
    """The switchboard of this process; a forked child gets one of its own."""
    with _lock:
        if os.getpid() not in _boards:
            _boards[os.getpid()] = Switchboard()
        return _boards[os.getpid()]
