"""Terminals over TCP: a listening socket each, and a connection for every caller."""

from __future__ import annotations

import select
import socket
from time import monotonic_ns

from hostemu.protocol.events import Event, Refused, Send
from hostemu.protocol.power import PowerCycle
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import FrameReader, WireError, encode
from hostemu.retrieval.link import Link
from hostemu.retrieval.sockets import bound_socket, deafen, reset, undeafen
from hostemu.retrieval.terminal import OUT_OF_FILES, FarmState, Identity, Terminal

ACCEPT_BACKLOG = 32
MAX_CONNECTIONS = 32
"""Open connections of one terminal; the oldest is given up for a new one."""

MAX_UNREAD_BYTES = 64 * 1024
"""What a peer may leave unread before it is given up."""


class TcpTerminal(Terminal):
    """When off: no listening socket (the host refuses), or one to which the kernel hands nothing (silence)."""

    def __init__(self, farm: FarmState, identity: Identity, power: PowerCycle) -> None:
        super().__init__(farm, identity, power)
        self._connections: dict[Connection, None] = {}
        self._listener: socket.socket | None = None
        self._cut_off: list[socket.socket] = []

    def switch(self, is_on: bool) -> None:
        """Listen, or meet callers as the farm's terminals do when off."""
        self.is_on = is_on
        if not self.farm.is_silent_when_off:
            if is_on:
                self._listen(deaf=False)
            else:
                self.close()
        elif self._listener is None:
            self._listen(deaf=not is_on)
        elif is_on:
            self._wake(self._listener)
        else:
            self._fall_silent(self._listener)

    def expire(self, now_ns: int) -> None:
        """Nothing: every connection has a timer of its own."""

    def close(self) -> None:
        """Reset all connections and no longer listen."""
        for connection in list(self._connections):
            connection.close()
        self._reset_cut_off()
        if self._listener is not None:
            self.farm.reactor.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def removed(self, connection: Connection) -> None:
        """A connection has closed."""
        self._connections.pop(connection, None)

    def _listen(self, *, deaf: bool) -> None:
        listener = bound_socket(socket.SOCK_STREAM, self.address, self.farm.port)
        self._listener = listener
        if deaf:
            deafen(listener)
        listener.listen(ACCEPT_BACKLOG)
        self.farm.reactor.register(listener.fileno(), select.EPOLLIN, self._accept)

    def _fall_silent(self, listener: socket.socket) -> None:
        """First the listener goes deaf, so that no connection can be added while the others follow."""
        deafen(listener)
        for connection in list(self._connections):
            self._cut_off.append(connection.detach())
        self._cut_off += self._queued(listener)
        for sock in self._cut_off:
            deafen(sock)

    def _wake(self, listener: socket.socket) -> None:
        """Connections from before the off time are unknown to a terminal that has just started."""
        self._cut_off += self._queued(listener)
        self._reset_cut_off()
        undeafen(listener)

    def _queued(self, listener: socket.socket) -> list[socket.socket]:
        """Connections that the kernel has made, and nobody has accepted."""
        queued = []
        try:
            for _ in range(ACCEPT_BACKLOG + 1):
                queued.append(listener.accept()[0])
        except OSError:
            return queued
        return queued

    def _reset_cut_off(self) -> None:
        for sock in self._cut_off:
            reset(sock)
        self._cut_off.clear()

    def _accept(self, _: int) -> None:
        if self._listener is None:
            return
        try:
            sock = self._listener.accept()[0]
        except OSError as error:
            if error.errno in OUT_OF_FILES:
                self.farm.turn_away(self._listener)
            return
        sock.setblocking(False)
        if len(self._connections) >= MAX_CONNECTIONS:
            next(iter(self._connections)).give_up(Reason.LOCAL)
        self.farm.connections += 1
        self._connections[Connection(self, sock)] = None


class Connection:
    """A caller's connection, and the exchange on it."""

    __slots__ = ("_is_over", "_link", "_reader", "_session", "_terminal", "_timer")

    def __init__(self, terminal: TcpTerminal, sock: socket.socket) -> None:
        farm = terminal.farm
        self._terminal = terminal
        self._session = terminal.session()
        self._reader = FrameReader()
        self._is_over = False
        self._link = Link(farm.reactor, sock, self)
        self._timer = farm.reactor.call_at(monotonic_ns() + farm.peer_timeout_ns, self._timed_out)

    def received(self, data: bytes) -> None:
        """The caller has sent something."""
        if self._is_over:
            return
        try:
            messages = self._reader.feed(data)
        except WireError as error:
            self._act(self._session.broken(error.reason))
            return
        for message in messages:
            self._act(self._session.receive(message))
            if self._link.backlog_bytes > MAX_UNREAD_BYTES:
                self.give_up(Reason.TIMEOUT)
                return

    def ended(self) -> None:
        """The caller will send no more."""
        reason = Reason.RESET
        try:
            self._reader.close()
        except WireError as error:
            reason = error.reason
        self.give_up(reason)

    def broken(self, reason: Reason) -> None:
        """The connection is gone; after the exchange that is how ISP servers close it."""
        self.give_up(reason)

    def drained(self) -> None:
        """Nothing was waiting for it."""

    def give_up(self, reason: Reason) -> None:
        """Refuse what is unfinished, and close."""
        self._act(self._session.broken(reason))
        self.close()

    def close(self) -> None:
        """Reset the connection."""
        self._forget()
        self._link.reset()

    def detach(self) -> socket.socket:
        """Forget the exchange, but leave the socket open."""
        self._forget()
        return self._link.detach()

    def _forget(self) -> None:
        self._timer.cancel()
        self._terminal.removed(self)

    def _timed_out(self) -> None:
        self.give_up(Reason.TIMEOUT)

    def _act(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                self._link.send(encode(event.message))
                continue
            self._terminal.farm.count(event)
            if isinstance(event, Refused):
                # The caller has until the time-out to read the refusal; what else it sends is discarded.
                self._is_over = True
                self._link.shut()
