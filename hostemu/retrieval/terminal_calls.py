"""Terminals that call their ISP server at their wake-ups, and do not listen."""

from __future__ import annotations

import errno
import select
import socket
from time import monotonic_ns

from hostemu.protocol.call import TerminalCall
from hostemu.protocol.calling import CallSchedule
from hostemu.protocol.events import Delivered, Event, Failed, Send
from hostemu.protocol.exchange import ExchangeSettings
from hostemu.protocol.power import PowerCycle
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import FrameReader, WireError, encode
from hostemu.retrieval.config import Home
from hostemu.retrieval.link import Link
from hostemu.retrieval.reactor import Timer
from hostemu.retrieval.sockets import bound_socket, deafen, reason_of, reset
from hostemu.retrieval.terminal import FarmState, Identity, Terminal

UNDER_WAY = (0, errno.EINPROGRESS)


class CallingTerminal(Terminal):
    """When off: no socket, or (silent) those of a call that was cut off, to which the kernel hands nothing."""

    def __init__(self, farm: FarmState, identity: Identity, power: PowerCycle) -> None:
        super().__init__(farm, identity, power)
        if farm.home is None:
            raise ValueError("a terminal that calls needs to know whom")
        self.home: Home = farm.home
        self.callee = (self.home.address, self.home.port + identity.index // self.home.list_size)
        self._schedule = CallSchedule(self.home.interval_ns, self.home.max_attempts)
        self._is_told = False
        self._again: Timer | None = None
        self._call: OutgoingCall | None = None
        self._cut_off: socket.socket | None = None

    def switch(self, is_on: bool) -> None:
        """Call at every wake-up; the first state, which the farm tells before time 0, is none."""
        is_change, self._is_told = self._is_told, True
        self.is_on = is_on
        if is_change and is_on:
            self._wake()
        elif is_change:
            self._sleep()

    def expire(self, now_ns: int) -> None:
        """Nothing: every call has a timer of its own."""

    def close(self) -> None:
        """Reset all connections."""
        self._stop_waiting()
        self._reset_cut_off()
        if self._call is not None:
            self._call.close()
            self._call = None

    def ended(self, event: Delivered | Failed) -> None:
        """The call is over."""
        self._call = None
        if isinstance(event, Delivered):
            self._schedule.delivered()
            self.farm.calls_by_reason[Reason.NONE] += 1
            return
        self.farm.calls_by_reason[event.reason] += 1
        due_ns = self._schedule.failed(event.reason, monotonic_ns())
        if not self._schedule.is_over:
            self._again = self.farm.reactor.call_at(due_ns, self._begin)

    def _wake(self) -> None:
        """Connections from before the off time are unknown to a terminal that has just started."""
        self._reset_cut_off()
        if not self._schedule.is_over:
            self._begin()

    def _sleep(self) -> None:
        if self._call is not None:
            self._cut_off = self._call.cut_off(is_silent=self.farm.is_silent_when_off)
        self._stop_waiting()

    def _begin(self) -> None:
        self.farm.calls += 1
        home = self.home
        settings = ExchangeSettings(True, home.connect_timeout_ns, home.answer_timeout_ns)
        self._call = OutgoingCall(self, TerminalCall(self.session(), self._schedule.begin(), settings))
        self._call.begin()

    def _stop_waiting(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _reset_cut_off(self) -> None:
        if self._cut_off is not None:
            reset(self._cut_off)
            self._cut_off = None


class OutgoingCall:
    """A connection to the ISP server, and the exchange on it.  The terminal ends it, with a reset."""

    def __init__(self, terminal: CallingTerminal, call: TerminalCall) -> None:
        self._terminal = terminal
        self._reactor = terminal.farm.reactor
        self._call = call
        self._reader = FrameReader()
        self._connecting: socket.socket | None = None
        self._link: Link | None = None
        self._timer: Timer | None = None

    def begin(self) -> None:
        """Connect; may end at once."""
        now_ns = monotonic_ns()
        self._call.begin(now_ns)
        try:
            self._connecting = bound_socket(socket.SOCK_STREAM, self._terminal.address, 0)
            error_number = self._connecting.connect_ex(self._terminal.callee)
        except OSError as error:
            error_number = error.errno or 0
        if self._connecting is None or error_number not in UNDER_WAY:
            self.broken(reason_of(error_number))
            return
        self._reactor.register(self._connecting.fileno(), select.EPOLLOUT, self._connected)
        self._await_timer()

    def received(self, data: bytes) -> None:
        """The ISP server has sent something."""
        try:
            for message in self._reader.feed(data):
                self._act(self._call.receive(message, monotonic_ns()))
        except WireError as error:
            self.broken(error.reason)

    def ended(self) -> None:
        """The ISP server will send no more."""
        self.broken(Reason.RESET)

    def broken(self, reason: Reason) -> None:
        """The call cannot go on."""
        self._act(self._call.broken(reason, monotonic_ns()))

    def drained(self) -> None:
        """Nothing was waiting for it."""

    def cut_off(self, *, is_silent: bool) -> socket.socket | None:
        """The terminal goes off: the call has failed.  Its socket, if it goes on without a word, else None."""
        kept = self._detached() if is_silent else None
        self.broken(Reason.RESET)
        return kept

    def close(self) -> None:
        """Reset the connection, and tell nobody."""
        if self._timer is not None:
            self._timer.cancel()
        if self._link is not None:
            self._link.reset()
        elif self._connecting is not None:
            self._reactor.forget(self._connecting.fileno())
            self._connecting.close()
            self._connecting = None

    def _detached(self) -> socket.socket | None:
        """The socket, open and deaf; the call has none any more."""
        kept = self._connecting
        if self._link is not None:
            kept = self._link.detach()
        elif kept is not None:
            self._reactor.unregister(kept.fileno())
        self._connecting = None
        if kept is not None:
            deafen(kept)
        return kept

    def _connected(self, _: int) -> None:
        sock = self._connecting
        if sock is None:
            return
        error_number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error_number:
            self.broken(reason_of(error_number))
            return
        self._connecting = None
        self._reactor.unregister(sock.fileno())
        self._link = Link(self._reactor, sock, self)
        self._terminal.farm.connections += 1
        self._act(self._call.opened(monotonic_ns()))
        self._await_timer()

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Send(message) if self._link is not None:
                    self._link.send(encode(message))
                case Delivered() | Failed():
                    self.close()
                    self._terminal.ended(event)
                case _:
                    self._terminal.farm.count(event)

    def _await_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due_ns = self._call.timer_at_ns
        self._timer = None if due_ns is None else self._reactor.call_at(due_ns, self._timed_out)

    def _timed_out(self) -> None:
        self._act(self._call.timer(monotonic_ns()))
