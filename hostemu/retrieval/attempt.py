"""One attempt at one terminal on a real socket.

Who closes first: the ISP server, with a reset, when it has everything it wanted.  Of the two ways to close this is
the one without TIME_WAIT (RFC 9293, 3.6.1 and 3.10.4), which would keep a port of the one calling address from
being used at the same terminal for a minute; and there is nothing left that the reset could destroy, since the
information is here and authenticated.
"""

from __future__ import annotations

import errno
import select
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from time import monotonic_ns

from hostemu.protocol.events import Event, Failed, Retrieved, Send
from hostemu.protocol.exchange import ExchangeState, IspExchange
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import FrameReader, Message, WireError, decode_datagram, encode
from hostemu.retrieval.reactor import Reactor, Timer
from hostemu.retrieval.sockets import (
    DATAGRAM_BYTES,
    IP_BIND_ADDRESS_NO_PORT,
    RECEIVE_BYTES,
    family_of,
    reason_of,
    reset,
)

READ = select.EPOLLIN
WRITE = select.EPOLLOUT

UNDER_WAY = (0, errno.EINPROGRESS)

SocketAddress = tuple[str, int]
OnEnd = Callable[[int, Retrieved | Failed], None]


class Sources:
    """Opens sockets for attempts, from the configured source addresses in turn."""

    def __init__(self, kind: socket.SocketKind, addresses: Sequence[str]) -> None:
        self._kind = kind | socket.SOCK_NONBLOCK
        by_family = {family: [a for a in addresses if family_of(a) == family] for family in map(family_of, addresses)}
        self._turns = {family: cycle(those) for family, those in by_family.items()}

    def open(self, family: socket.AddressFamily) -> socket.socket:
        """A socket that may connect to an address of `family`; raises OSError."""
        sock = socket.socket(family, self._kind)
        turn = self._turns.get(family)
        if turn is not None:
            try:
                # The port is chosen by connect, which knows the peer: each peer has all ports for itself.
                sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
                sock.bind((next(turn), 0))
            except BaseException:
                sock.close()
                raise
        return sock


@dataclass(frozen=True)
class Callee:
    """Where a terminal listens."""

    family: socket.AddressFamily
    address: SocketAddress


class Attempt(ABC):
    """Drives one exchange over one socket, which it closes before it calls `on_end(index, event)`, once."""

    __slots__ = ("_exchange", "_fd", "_index", "_on_end", "_reactor", "_socket", "_timer")

    first_mask: int

    def __init__(self, reactor: Reactor, index: int, exchange: IspExchange, on_end: OnEnd) -> None:
        self._reactor = reactor
        self._index = index
        self._exchange = exchange
        self._on_end = on_end
        self._socket: socket.socket | None = None
        self._fd = -1
        self._timer: Timer | None = None

    def begin(self, sources: Sources, callee: Callee) -> None:
        """Open a socket and connect it; may end at once."""
        now_ns = monotonic_ns()
        events = self._exchange.begin(now_ns)
        try:
            self._socket = sources.open(callee.family)
            error_number = self._socket.connect_ex(callee.address)
        except OSError as error:
            error_number = error.errno or 0
        if self._socket is None or error_number not in UNDER_WAY:
            self._act(self._exchange.broken(reason_of(error_number), now_ns))
            return
        self._fd = self._socket.fileno()
        self._reactor.register(self._fd, self.first_mask, self._ready)
        self._act(events)
        self._await_timer()

    def abandon(self) -> None:
        """Close the socket and tell nobody."""
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._reactor.forget(self._fd)
            self._close(self._socket)
            self._socket = None

    @abstractmethod
    def _ready(self, mask: int) -> None:
        """The socket can be read or written."""

    @abstractmethod
    def _close(self, sock: socket.socket) -> None:
        """Close the socket as the transport wants it."""

    def _act(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                self._send(encode(event.message))
            elif isinstance(event, Retrieved | Failed):
                self.abandon()
                self._on_end(self._index, event)

    def _send(self, data: bytes) -> None:
        if self._socket is None:
            return
        try:
            if self._socket.send(data) == len(data):
                return
            error_number = errno.ENOBUFS
        except OSError as error:
            error_number = error.errno or 0
        self._lose(error_number)

    def _lose(self, error_number: int) -> None:
        """The socket has failed.  A time-out of the kernel's in mid-exchange is not the silence of a closed port."""
        reason = reason_of(error_number)
        if reason is Reason.SILENT and self._exchange.state is not ExchangeState.CONNECTING:
            reason = Reason.TIMEOUT
        self._act(self._exchange.broken(reason, monotonic_ns()))

    def _take(self, messages: list[Message]) -> None:
        for message in messages:
            self._act(self._exchange.receive(message, monotonic_ns()))
        self._await_timer()

    def _await_timer(self) -> None:
        """Keep one timer, no later than the exchange wants it; one that is early is set again."""
        due_ns = self._exchange.timer_at_ns
        if due_ns is None:
            return
        if self._timer is None or due_ns < self._timer.due_ns:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._reactor.call_at(due_ns, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._act(self._exchange.timer(monotonic_ns()))
        self._await_timer()


class TcpAttempt(Attempt):
    """Over a connection, which the ISP server closes with a reset."""

    __slots__ = ("_is_connected", "_reader")

    first_mask = WRITE

    def __init__(self, reactor: Reactor, index: int, exchange: IspExchange, on_end: OnEnd) -> None:
        super().__init__(reactor, index, exchange, on_end)
        self._is_connected = False
        self._reader: FrameReader | None = None

    def _ready(self, mask: int) -> None:
        if self._is_connected:
            self._read()
            return
        if mask & ~WRITE and self._socket is not None:
            error_number = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if error_number:
                self._lose(error_number)
                return
        self._is_connected = True
        self._reader = FrameReader()
        self._reactor.modify(self._fd, READ)
        self._act(self._exchange.opened(monotonic_ns()))
        self._await_timer()

    def _read(self) -> None:
        if self._socket is None or self._reader is None:
            return
        try:
            data = self._socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.errno or 0)
            return
        try:
            if data:
                self._take(self._reader.feed(data))
                return
            self._reader.close()
            reason = Reason.RESET
        except WireError as error:
            reason = error.reason
        self._act(self._exchange.broken(reason, monotonic_ns()))

    def _close(self, sock: socket.socket) -> None:
        if self._is_connected:
            reset(sock)
        else:
            sock.close()


class UdpAttempt(Attempt):
    """Over a connected socket, so that the kernel tells when the terminal's host says "port unreachable"."""

    __slots__ = ()

    first_mask = READ

    def _ready(self, mask: int) -> None:
        if self._socket is None:
            return
        try:
            datagram = self._socket.recv(DATAGRAM_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(error.errno or 0)
            return
        try:
            messages = [decode_datagram(datagram)]
        except WireError as error:
            self._act(self._exchange.broken(error.reason, monotonic_ns()))
            return
        self._take(messages)

    def _close(self, sock: socket.socket) -> None:
        sock.close()
