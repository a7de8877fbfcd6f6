"""The twin of how an ISP server program takes its terminals' calls: some at a time, others in the backlog."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from hostemu.protocol.call import IspCall
from hostemu.protocol.calling import CallBook
from hostemu.protocol.events import Event, Failed, Retrieved, Send
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import FrameReader, Message, WireError, encode
from hostemu.sim.clock import Timer
from hostemu.sim.tcp import TcpConnection

if TYPE_CHECKING:
    from hostemu.sim.isp_server import IspServer


class Reception:
    """One list whose terminals call.  keys: their shared keys, by device ID."""

    def __init__(self, server: IspServer, book: CallBook, keys: Mapping[int, bytes]) -> None:
        self.server = server
        self.keys = keys
        self._book = book
        self._backlog: deque[Incoming] = deque()

    @property
    def is_open(self) -> bool:
        """Whether the port for calls is open."""
        return self._book.left > 0

    def incoming(self, connection: TcpConnection) -> Incoming:
        """Who owns a connection that a terminal has just asked for."""
        return Incoming(self, connection)

    def queue(self, call: Incoming) -> None:
        """A connection stands, and waits to be accepted."""
        self._backlog.append(call)
        if self._book.left:
            self._accept()
        else:
            self._close()

    def ended(self, call: IspCall, event: Retrieved | Failed) -> None:
        """A call that was served is over.  Once everybody is accounted for, nobody counts any more."""
        if not self._book.left:
            return
        reason = self.server.count(event)
        report = self._book.ended(call.caller, event)
        if report is not None:
            self.server.clock.note(self.server.name, f"device {report.device_id} {reason.name}")
            self.server.report(report, self._book.left)
        if self._book.left:
            self._accept()
        else:
            self._close()

    def _accept(self) -> None:
        while self._backlog and self._book.has_room:
            self._book.take()
            call = self._backlog.popleft()
            self.server.thread.do(self.server.costs.begin_ns, call.begin)

    def _close(self) -> None:
        """The port closes, and its host resets whoever is waiting in front of it."""
        for call in self._backlog:
            call.connection.abort()
        self._backlog.clear()


class Incoming:
    """A terminal's connection, in the backlog or served.  What comes before it is accepted waits in its socket."""

    def __init__(self, reception: Reception, connection: TcpConnection) -> None:
        self.connection = connection
        self._reception = reception
        self._server = reception.server
        self._reader = FrameReader()
        self._call: IspCall | None = None
        self._is_over = False
        self._waiting = bytearray()
        self._broken: Reason | None = None
        self._timer = Timer(self._server.clock, self._timed_out)

    def begin(self) -> None:
        """The program accepts the call."""
        server = self._server
        now_ns = server.clock.now_ns
        self._call = IspCall(self._reception.keys, server.plan.scheme, server.nonce(), server.settings, now_ns)
        self._timer.set(now_ns + server.settings.answer_timeout_ns)
        if self._waiting:
            self.received(bytes(self._waiting))
        if self._broken is not None:
            self.broken(self._broken)

    def opened(self) -> None:
        """The connection stands."""
        self._reception.queue(self)

    def received(self, data: bytes) -> None:
        """The terminal has sent something."""
        if self._call is None:
            self._waiting += data
            return
        try:
            for message in self._reader.feed(data):
                self._server.thread.do(self._server.costs.step_ns, self._received, message)
        except WireError as error:
            self.broken(error.reason)

    def broken(self, reason: Reason) -> None:
        """The terminal has gone: off, out of patience, or because it has its receipt."""
        if self._call is None:
            self._broken = reason
        elif self._is_over:
            self._timer.clear()
        else:
            self._server.thread.do(self._server.costs.fail_ns, self._fail, reason)

    def _received(self, message: Message) -> None:
        if self._call is not None:
            self._act(self._call.receive(message, self._server.clock.now_ns))

    def _fail(self, reason: Reason) -> None:
        if self._call is not None:
            self._act(self._call.broken(reason, self._server.clock.now_ns))

    def _timed_out(self) -> None:
        """The terminal takes too long, or has not closed although it has been sent its receipt."""
        self.connection.abort()
        self._fail(Reason.TIMEOUT)

    def _act(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Send(message):
                    self.connection.send(encode(message))
                case Failed():
                    self._timer.clear()
                    self.connection.abort()
                    self._end(event)
                case Retrieved():
                    self._timer.set(self._server.clock.now_ns + self._server.settings.answer_timeout_ns)
                    self._end(event)

    def _end(self, event: Retrieved | Failed) -> None:
        self._is_over = True
        if self._call is not None:
            self._reception.ended(self._call, event)
