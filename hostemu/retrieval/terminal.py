"""The real terminals of a farm: each with its address, keys and power, over TCP or UDP."""

from __future__ import annotations

import errno
import os
import select
import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from time import monotonic_ns

from hostemu.protocol.auth import Credentials, Scheme
from hostemu.protocol.events import Event, Refused, Send, Served
from hostemu.protocol.power import PowerCycle
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import NonceMemory, TerminalSession, TerminalState
from hostemu.protocol.wire import (
    MAX_FRAME_BYTES,
    NONCE_BYTES,
    FrameReader,
    Hello,
    Message,
    WireError,
    decode_datagram,
    encode,
)
from hostemu.retrieval.link import Link
from hostemu.retrieval.reactor import Reactor
from hostemu.retrieval.sockets import bound_socket, deafen, reset, undeafen

ACCEPT_BACKLOG = 32
CONNECTIONS_PER_TERMINAL = 32
"""Open connections of one terminal; the oldest is given up for a new one."""

SESSIONS_PER_TERMINAL = 64
"""UDP exchanges that a terminal remembers; the oldest is forgotten first."""

UNREAD_BYTES = 64 * 1024
"""What a peer may leave unread before it is given up."""

OUT_OF_FILES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass
class FarmState:
    """What all terminals of a farm share, and what they count."""

    reactor: Reactor
    scheme: Scheme
    port: int
    is_silent_when_off: bool
    peer_timeout_ns: int
    served: int = 0
    connections: int = 0
    open_connections: int = 0
    refusals: Counter[Reason] = field(default_factory=Counter)
    spare_fd: int = -1

    def count(self, event: Event) -> None:
        """Count what an exchange came to."""
        match event:
            case Served():
                self.served += 1
            case Refused(reason):
                self.refusals[reason] += 1

    def reserve_fd(self) -> None:
        """Keep one descriptor back, to be able to turn callers away when there are no more."""
        self.spare_fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def release_fd(self) -> None:
        """Give the spare descriptor up."""
        if self.spare_fd >= 0:
            os.close(self.spare_fd)
            self.spare_fd = -1


class Terminal(ABC):
    """One terminal; `switch` follows its power cycle.  Made in the state of the cycle's time 0."""

    def __init__(
        self, farm: FarmState, address: str, credentials: Credentials, information: bytes, power: PowerCycle
    ) -> None:
        self.farm = farm
        self.address = address
        self.power = power
        self._credentials = credentials
        self._information = information
        self._memory = NonceMemory()

    @abstractmethod
    def switch(self, is_on: bool) -> None:
        """Go on or off; also brings a new terminal into its first state.  Raises OSError."""

    @abstractmethod
    def close(self) -> None:
        """Close every socket; the terminal is gone."""

    def session(self) -> TerminalSession:
        """This side of a new exchange."""
        nonce = os.urandom(NONCE_BYTES)
        return TerminalSession(self._credentials, self.farm.scheme, self._information, self._memory, nonce)


class TcpTerminal(Terminal):
    """A listening socket, and a Connection for every caller."""

    _listener: socket.socket | None = None

    def switch(self, is_on: bool) -> None:
        """Listen, or meet callers as `when_off` says."""
        if self.farm.is_silent_when_off:
            self._switch_silently(is_on)
        elif is_on:
            self._listener = self._bind()
            self._listen(self._listener)
        else:
            self.close()

    def close(self) -> None:
        """Reset all connections and no longer listen."""
        for connection in list(self._connections):
            connection.close()
        if self._listener is not None:
            self.farm.reactor.forget(self._listener.fileno())
            self._listener.close()
            self._listener = None

    def __init__(
        self, farm: FarmState, address: str, credentials: Credentials, information: bytes, power: PowerCycle
    ) -> None:
        super().__init__(farm, address, credentials, information, power)
        self._connections: dict[Connection, None] = {}
        self._stale: list[socket.socket] = []

    def removed(self, connection: Connection) -> None:
        """A connection has closed."""
        self._connections.pop(connection, None)

    def _bind(self) -> socket.socket:
        return bound_socket(socket.SOCK_STREAM, self.address, self.farm.port)

    def _listen(self, listener: socket.socket) -> None:
        listener.listen(ACCEPT_BACKLOG)
        self.farm.reactor.register(listener.fileno(), select.EPOLLIN, self._accept)
