"""One list whose terminals call: some calls are served, others wait in the kernel's backlog."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Sequence
from time import monotonic_ns

from hostemu.protocol.auth import SCHEMES, derive_key
from hostemu.protocol.call import IspCall
from hostemu.protocol.calling import CallBook
from hostemu.protocol.events import Event, Failed, Retrieved, Send
from hostemu.protocol.exchange import ExchangeSettings
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import NONCE_BYTES, Call, FrameReader, Target, WireError, encode
from hostemu.retrieval.config import IspConfig
from hostemu.retrieval.link import Link
from hostemu.retrieval.list_run import IspCounts, OnReport
from hostemu.retrieval.reactor import Reactor

NOTHING = 0
"""What epoll is asked to wait for at a listener while no call may be accepted."""


class CallRun:
    """Takes one list's calls.  `on_report` is called for every terminal that is done with.

    listener: a bound socket, which listens from `start` on until every terminal is accounted for; it stays open.
    """

    def __init__(
        self,
        config: IspConfig,
        reactor: Reactor,
        targets: Sequence[Target],
        counts: IspCounts,
        on_report: OnReport,
        listener: socket.socket,
    ) -> None:
        devices = [target.device_id for target in targets]
        self.reactor = reactor
        self.answer_timeout_ns = config.answer_timeout_ns
        self._keys = {device: derive_key(config.shared_secret, "shared", device) for device in devices}
        self._scheme = SCHEMES[config.authentication.value]
        self._settings = ExchangeSettings(True, config.connect_timeout_ns, config.answer_timeout_ns)
        self._book = CallBook(devices, config.concurrency, config.retry.max_attempts)
        self._most_parting = config.concurrency
        self._counts = counts
        self._on_report = on_report
        self._listener = listener
        self._is_listening = False
        self._is_held = False
        self._calls: dict[IncomingCall, None] = {}
        self._parting: dict[IncomingCall, None] = {}  # the oldest first

    @property
    def left(self) -> int:
        """Terminals that are not accounted for yet."""
        return self._book.left

    def start(self) -> None:
        """Open the port, with room for everybody to wait (Linux: at most net.core.somaxconn)."""
        if self._book.left:
            self._listener.listen(self._book.left)
            self.reactor.register(self._listener.fileno(), select.EPOLLIN, self._accept)
            self._is_listening = True

    def hold(self, is_held: bool) -> None:
        """While held, no call is accepted; those under way go on."""
        self._is_held = is_held
        self._listen()

    def abandon(self) -> None:
        """Close the port, and give all calls up; nobody is told."""
        self._close_port()
        for call in [*self._calls, *self._parting]:
            call.close()
        self._calls.clear()
        self._parting.clear()

    def ended(self, call: IncomingCall, event: Retrieved | Failed) -> None:
        """A call that was served is over.  One whose terminal has its receipt is to be closed by the terminal."""
        del self._calls[call]
        if isinstance(event, Retrieved):
            self._part(call)
        if not self._book.left:  # a terminal that calls once more: nobody counts
            return
        self._counts.by_reason[event.reason if isinstance(event, Failed) else Reason.NONE] += 1
        report = self._book.ended(call.caller, event)
        if report is not None:
            self._counts.retrieved += report.outcome is Outcome.RETRIEVED
            self._counts.failed += report.outcome is Outcome.FAILED
            self._on_report(report)
        if self._book.left:
            self._listen()
        else:
            self._close_port()

    def parted(self, call: IncomingCall) -> None:
        """A connection is gone whose call had been over."""
        self._parting.pop(call, None)

    def _part(self, call: IncomingCall) -> None:
        if len(self._parting) >= self._most_parting:
            next(iter(self._parting)).leave()
        self._parting[call] = None

    def _listen(self) -> None:
        if self._is_listening:
            may_accept = self._book.has_room and not self._is_held
            self.reactor.modify(self._listener.fileno(), select.EPOLLIN if may_accept else NOTHING)

    def _close_port(self) -> None:
        if self._is_listening:
            self._is_listening = False
            self.reactor.unregister(self._listener.fileno())
            self._listener.shutdown(socket.SHUT_RD)  # it then refuses, and may listen again

    def _accept(self, _: int) -> None:
        try:
            sock = self._listener.accept()[0]
        except OSError:
            return
        sock.setblocking(False)
        self._book.take()
        self._counts.attempts += 1
        call = IspCall(self._keys, self._scheme, os.urandom(NONCE_BYTES), self._settings, monotonic_ns())
        self._calls[IncomingCall(self, sock, call)] = None
        self._listen()


class IncomingCall:
    """A terminal's connection, and the exchange on it."""

    __slots__ = ("_call", "_is_over", "_link", "_reader", "_run", "_timer")

    def __init__(self, run: CallRun, sock: socket.socket, call: IspCall) -> None:
        self._run = run
        self._call = call
        self._reader = FrameReader()
        self._is_over = False
        self._link = Link(run.reactor, sock, self)
        self._timer = run.reactor.call_at(monotonic_ns() + run.answer_timeout_ns, self._timed_out)

    @property
    def caller(self) -> Call | None:
        """Who has called, once it is proved."""
        return self._call.caller

    def received(self, data: bytes) -> None:
        """The terminal has sent something."""
        try:
            for message in self._reader.feed(data):
                self._act(self._call.receive(message, monotonic_ns()))
        except WireError as error:
            self.broken(error.reason)

    def ended(self) -> None:
        """The terminal will send no more."""
        self.broken(Reason.RESET)

    def broken(self, reason: Reason) -> None:
        """The terminal has gone: off, out of patience, or because it has its receipt."""
        if self._is_over:
            self.leave()
        else:
            self._act(self._call.broken(reason, monotonic_ns()))

    def drained(self) -> None:
        """Nothing was waiting for it."""

    def leave(self) -> None:
        """Close the connection of a call that was over."""
        self.close()
        self._run.parted(self)

    def close(self) -> None:
        """Reset the connection."""
        self._timer.cancel()
        self._link.reset()

    def _timed_out(self) -> None:
        if self._is_over:  # its receipt did not reach it, or its reset did not reach us
            self.leave()
        else:
            self._act(self._call.timer(monotonic_ns()))

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Send(message):
                    self._link.send(encode(message))
                case Failed():
                    self._is_over = True
                    self.close()
                    self._run.ended(self, event)
                case Retrieved():
                    self._is_over = True
                    self._timer.cancel()
                    self._timer = self._run.reactor.call_at(
                        monotonic_ns() + self._run.answer_timeout_ns, self._timed_out
                    )
                    self._run.ended(self, event)
