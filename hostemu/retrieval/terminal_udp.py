"""Terminals over UDP: a socket each, and a session for every peer."""

from __future__ import annotations

import select
import socket
from dataclasses import dataclass
from time import monotonic_ns
from typing import Any

from hostemu.protocol.events import Event, Send
from hostemu.protocol.power import PowerCycle
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import TerminalSession, TerminalState
from hostemu.protocol.wire import Hello, Message, WireError, decode_datagram, encode
from hostemu.retrieval.sockets import DATAGRAM_BYTES, bound_socket, deafen, undeafen
from hostemu.retrieval.terminal import FarmState, Identity, Terminal

MAX_SESSIONS = 64
"""Exchanges that one terminal remembers; the oldest is forgotten first."""

OVER = (TerminalState.SERVED, TerminalState.CLOSED)

Peer = Any
"""A socket address as `recvfrom` returns it."""


@dataclass
class PeerSession:
    """The exchange with one peer.  first: the message that began it, None when that was none."""

    session: TerminalSession
    first: Message | None
    expires_ns: int


class UdpTerminal(Terminal):
    """When off: no socket (the host says that the port is unreachable), or a deaf one."""

    def __init__(self, farm: FarmState, identity: Identity, power: PowerCycle) -> None:
        super().__init__(farm, identity, power)
        self._socket: socket.socket | None = None
        self._sessions: dict[Peer, PeerSession] = {}  # oldest first, hence in the order in which they expire

    def switch(self, is_on: bool) -> None:
        """Answer, or meet peers as the farm's terminals do when off."""
        self.is_on = is_on
        self._sessions.clear()
        if not self.farm.is_silent_when_off:
            if is_on:
                self._bind()
            else:
                self.close()
            return
        sock = self._bind() if self._socket is None else self._socket
        if is_on:
            undeafen(sock)
        else:
            deafen(sock)
            discard_queue(sock)

    def expire(self, now_ns: int) -> None:
        """Forget sessions whose time is over; those without an end count as time-outs."""
        expired = []
        for peer, entry in self._sessions.items():
            if entry.expires_ns > now_ns:
                break
            expired.append(peer)
        for peer in expired:
            self._forget(peer, Reason.TIMEOUT)

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self.farm.reactor.forget(self._socket.fileno())
            self._socket.close()
            self._socket = None

    def _bind(self) -> socket.socket:
        self._socket = bound_socket(socket.SOCK_DGRAM, self.address, self.farm.port)
        self.farm.reactor.register(self._socket.fileno(), select.EPOLLIN, self._receive)
        return self._socket

    def _receive(self, _: int) -> None:
        if self._socket is None:
            return
        try:
            datagram, peer = self._socket.recvfrom(DATAGRAM_BYTES)
        except OSError:
            return
        message, reason = _decoded(datagram)
        session = self._session_of(peer, message)
        events = session.broken(reason) if message is None else session.receive(message)
        for event in events:
            self._act(peer, event)
        if session.state is TerminalState.CLOSED:
            self._sessions.pop(peer, None)

    def _session_of(self, peer: Peer, message: Message | None) -> TerminalSession:
        """The peer's exchange.  A Hello other than the one that began it begins the next, once it is over."""
        entry = self._sessions.get(peer)
        if entry is not None:
            is_next = isinstance(message, Hello) and entry.session.state in OVER and message != entry.first
            if not is_next:
                return entry.session
            del self._sessions[peer]
        if len(self._sessions) >= MAX_SESSIONS:
            self._forget(next(iter(self._sessions)), Reason.LOCAL)
        self.farm.connections += 1
        entry = PeerSession(self.session(), message, monotonic_ns() + self.farm.peer_timeout_ns)
        self._sessions[peer] = entry
        return entry.session

    def _forget(self, peer: Peer, reason: Reason) -> None:
        for event in self._sessions.pop(peer).session.broken(reason):
            if not isinstance(event, Send):  # the peer has long gone
                self.farm.count(event)

    def _act(self, peer: Peer, event: Event) -> None:
        if not isinstance(event, Send):
            self.farm.count(event)
        elif self._socket is not None:
            try:
                self._socket.sendto(encode(event.message), peer)
            except OSError:
                return  # lost like any datagram; the peer repeats its own


def _decoded(datagram: bytes) -> tuple[Message | None, Reason]:
    try:
        return decode_datagram(datagram), Reason.NONE
    except WireError as error:
        return None, error.reason


def discard_queue(sock: socket.socket) -> None:
    """Drop what came before the terminal went off and was not read."""
    try:
        while sock.recvfrom(1):
            pass
    except OSError:
        return
