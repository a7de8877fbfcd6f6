"""The center's connection to one ISP server program, and the list that goes over it."""

from __future__ import annotations

import errno
import select
import socket
from time import monotonic_ns
from typing import Protocol

from hostemu.protocol.command import CenterJob
from hostemu.protocol.events import Event, Finished, Send, Stored
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import FrameReader, WireError, encode
from hostemu.retrieval.link import Link
from hostemu.retrieval.reactor import Reactor
from hostemu.retrieval.sockets import family_of

RETRY_INTERVAL_NS = 50_000_000


class JobOwner(Protocol):
    """The center, as its links see it."""

    @property
    def reactor(self) -> Reactor:
        """The loop."""

    def stored(self, event: Stored) -> None:
        """A terminal is accounted for."""

    def job_finished(self) -> None:
        """The list is done with."""


class JobLink:
    """Connects, gives the list, takes the reports.  The job is finished once, whatever happens."""

    def __init__(self, owner: JobOwner, job: CenterJob, address: tuple[str, int]) -> None:
        self._owner = owner
        self._job = job
        self._address = address
        self._family = family_of(address[0])
        self._reader = FrameReader()
        self._link: Link | None = None
        self._connecting: socket.socket | None = None
        self._is_finished = False

    def connect(self, until_ns: int) -> None:
        """Call the ISP server, again and again until `until_ns`."""
        self._owner.reactor.call_at(until_ns, self._stop_connecting)
        self._try()

    def give_up(self, reason: Reason) -> None:
        """What is pending has failed, for `reason`."""
        self._act(self._job.broken(reason, monotonic_ns()))

    def close(self) -> None:
        """Close the connection."""
        self._close_attempt()
        if self._link is not None:
            self._link.reset()

    def received(self, data: bytes) -> None:
        """Reports have come."""
        if self._is_finished:
            return
        now_ns = monotonic_ns()
        try:
            for message in self._reader.feed(data):
                self._act(self._job.receive(message, now_ns))
        except WireError as error:
            self.give_up(error.reason)

    def ended(self) -> None:
        """The ISP server program will send no more."""
        self.broken(Reason.RESET)

    def broken(self, reason: Reason) -> None:
        """Whatever ended the connection, the program is lost to this run."""
        self.close()
        self.give_up(Reason.PROGRAM_LOST)

    def drained(self) -> None:
        """Nothing was waiting for it."""

    def _try(self) -> None:
        if self._is_finished or self._link is not None or self._connecting is not None:
            return
        try:
            sock = socket.socket(self._family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        except OSError:
            self._try_later()
            return
        self._connecting = sock
        if sock.connect_ex(self._address) in (0, errno.EINPROGRESS):
            self._owner.reactor.register(sock.fileno(), select.EPOLLOUT, self._connected)
        else:
            self._try_later()

    def _try_later(self) -> None:
        self._close_attempt()
        self._owner.reactor.call_at(monotonic_ns() + RETRY_INTERVAL_NS, self._try)

    def _close_attempt(self) -> None:
        if self._connecting is not None:
            self._owner.reactor.forget(self._connecting.fileno())
            self._connecting.close()
            self._connecting = None

    def _stop_connecting(self) -> None:
        if self._link is None:
            self._close_attempt()
            self.give_up(Reason.PROGRAM_LOST)

    def _connected(self, _: int) -> None:
        sock = self._connecting
        if sock is None:
            return
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            self._try_later()
            return
        self._connecting = None
        self._owner.reactor.unregister(sock.fileno())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link = Link(self._owner.reactor, sock, self)
        self._act(self._job.opened(monotonic_ns()))

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Send(message) if self._link is not None:
                    self._link.send(encode(message))
                case Stored():
                    self._owner.stored(event)
                case Finished():
                    self._is_finished = True
                    self.close()
                    self._owner.job_finished()
