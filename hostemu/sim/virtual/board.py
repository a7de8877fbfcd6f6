"""Serves the channels to guests of a calendar, in the caller's thread, at moments that follow from the caller.

Who waits for an answer lets virtual time pass, a window at a time, until there is one.
"""

from __future__ import annotations

import select
import threading
from collections.abc import Callable

from hostemu.guests.switchboard import Handler


class Channels:
    """Descriptors of channels, by guest.  play: lets one window pass.  poke: has a guest look at its channel."""

    def __init__(self, play: Callable[[], None], poke: Callable[[int], None]) -> None:
        self.play = play
        self.poke = poke
        self._poll = select.poll()
        self._handlers: dict[int, Handler] = {}

    def register(self, fd: int, events: int, handler: Handler) -> None:
        """As Board.register."""
        self._handlers[fd] = handler
        self._poll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        """As Board.modify."""
        if fd in self._handlers:
            self._poll.modify(fd, events)

    def forget(self, fd: int) -> None:
        """As Board.forget."""
        if self._handlers.pop(fd, None) is not None:
            self._poll.unregister(fd)

    def serve(self) -> bool:
        """Hand on what has come in; whether anything has."""
        found = sorted(self._poll.poll(0))
        for fd, events in found:
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(events)
        return bool(found)


class GuestBoard:
    """The board (hostemu.guests.switchboard.Board) of one guest's channel."""

    def __init__(self, channels: Channels, number: int) -> None:
        self._channels = channels
        self._number = number
        self.register = channels.register
        self.modify = channels.modify
        self.forget = channels.forget

    def sent(self, fd: int) -> None:
        """The guest is to look at its channel as soon as time goes on."""
        self._channels.poke(self._number)

    def wait(self, changed: threading.Condition, at_most_s: float) -> None:
        """Let a window pass, unless something has come in already."""
        if not self._channels.serve():
            self._channels.play()
            self._channels.serve()
