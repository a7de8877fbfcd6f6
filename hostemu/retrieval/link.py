"""A TCP connection in the reactor: bytes in, bytes out, with a buffer for what the peer does not take yet."""

from __future__ import annotations

import select
import socket
from typing import Protocol

from hostemu.protocol.reasons import Reason
from hostemu.retrieval.reactor import Reactor
from hostemu.retrieval.sockets import RECEIVE_BYTES, reason_of, reset

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


class LinkOwner(Protocol):
    """Who is told what happens to a link."""

    def received(self, data: bytes) -> None:
        """The peer has sent something."""

    def ended(self) -> None:
        """The peer will send no more."""

    def broken(self, reason: Reason) -> None:
        """The connection is gone."""

    def drained(self) -> None:
        """Everything that had to wait has been handed to the kernel."""


class Link:
    """One connected, non-blocking socket; the link owns it and ends with `reset`."""

    __slots__ = ("_fd", "_out", "_owner", "_reactor", "_shuts", "sock")

    def __init__(self, reactor: Reactor, sock: socket.socket, owner: LinkOwner) -> None:
        self.sock = sock
        self._reactor = reactor
        self._owner = owner
        self._fd = sock.fileno()
        self._out = bytearray()
        self._shuts = False
        reactor.register(self._fd, READ, self._ready)

    @property
    def is_open(self) -> bool:
        """Whether `reset` is still to come."""
        return self._fd >= 0

    @property
    def backlog_bytes(self) -> int:
        """What waits for the peer to take it."""
        return len(self._out)

    def send(self, data: bytes) -> None:
        """Transmit, or keep until the peer takes it.  A failure shows on the reading side."""
        if not self.is_open:
            return
        if self._out:
            self._out += data
            return
        sent = self._try_send(data)
        if sent < len(data):
            self._out += data[sent:]
            self._reactor.modify(self._fd, READ | WRITE)

    def shut(self) -> None:
        """Say that no more will come, once everything has been sent."""
        self._shuts = True
        if not self._out:
            self._shut_now()

    def detach(self) -> socket.socket:
        """Hand the open socket over; the link is done with it."""
        self._reactor.unregister(self._fd)
        self._fd = -1
        self._out.clear()
        return self.sock

    def reset(self) -> None:
        """Close at once; harmless when done before."""
        if self.is_open:
            self._reactor.forget(self._fd)
            self._fd = -1
            self._out.clear()
            reset(self.sock)

    def _try_send(self, data: bytes | bytearray) -> int:
        """Bytes that the kernel took; on a dead connection all of them, into the void."""
        try:
            return self.sock.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            return len(data)

    def _ready(self, mask: int) -> None:
        if mask & WRITE:
            self._flush()
        if mask & ~WRITE:
            self._read()

    def _flush(self) -> None:
        del self._out[: self._try_send(self._out)]
        if not self._out:
            self._reactor.modify(self._fd, READ)
            if self._shuts:
                self._shut_now()
            self._owner.drained()

    def _shut_now(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the peer was faster, as the reading side will tell

    def _read(self) -> None:
        if not self.is_open:
            return
        try:
            data = self.sock.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._owner.broken(reason_of(error.errno or 0))
            return
        if data:
            self._owner.received(data)
        else:
            self._owner.ended()
