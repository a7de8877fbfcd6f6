"""The twin of an ISP server program: takes a list from the center, retrieves, reports."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hostemu.base.streams import Stream
from hostemu.measure.costs import Costs
from hostemu.protocol.auth import derive_key
from hostemu.protocol.calling import CallBook
from hostemu.protocol.command import IspService
from hostemu.protocol.events import Begin, Event, Failed, Refused, Retrieved, Send
from hostemu.protocol.exchange import IspExchange
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.retriever import Retriever
from hostemu.protocol.wire import (
    NONCE_BYTES,
    FrameReader,
    Message,
    Refusal,
    Report,
    WireError,
    decode_datagram,
    encode,
)
from hostemu.scenario.derive import TERMINAL_PORT, exchange_settings, retry_policy
from hostemu.sim.clock import Timer
from hostemu.sim.cpu import Thread
from hostemu.sim.kernel import Kernel, UdpSocket
from hostemu.sim.network import Host
from hostemu.sim.plan import Plan, terminal_of
from hostemu.sim.reception import Reception
from hostemu.sim.tcp import TcpConnection

COMMAND_TIMEOUT_NS = 10_000_000_000
"""How long a center may take to give its list: the real program's."""


class AttemptCosts:
    """CPU time of an attempt's steps.  Their sums are the measured figures: begin + fail, begin + 3 · step."""

    def __init__(self, costs: Costs) -> None:
        self.begin_ns = costs.isp_refused_ns // 2
        self.fail_ns = costs.isp_refused_ns - self.begin_ns
        self.step_ns = max(0, costs.isp_exchange_ns - self.begin_ns) // 3


class IspServer:
    """One program.  attempts_by_reason: how attempts ended, Reason.NONE being success."""

    def __init__(
        self, number: int, plan: Plan, kernel: Kernel, thread: Thread, costs: Costs, guest_of: Callable[[int], Host]
    ) -> None:
        self.name = f"isp-{number}"
        self.attempts_by_reason: dict[Reason, int] = {}
        self.refusals: dict[Reason, int] = {}
        self.plan = plan
        self.kernel = kernel
        self.clock = kernel.clock
        self.thread = thread
        self.costs = AttemptCosts(costs)
        self.guest_of = guest_of
        self.settings = exchange_settings(plan.scenario)
        self.keys: list[bytes] = []
        self._service = IspService()
        self._reader = FrameReader()
        self._center: TcpConnection | None = None
        self.reception: Reception | None = None
        self._retriever: Retriever | None = None
        self._wake = Timer(self.clock, self._woken)
        self._command_timer = Timer(self.clock, self._no_command)
        self._nonces = Stream.named(plan.seed, "simulated", "nonce", self.name)
        self._nonces_drawn = 0

    def accepted(self, connection: TcpConnection) -> None:
        """The center asks for a connection."""
        self._center = connection

    # the center's connection

    def opened(self) -> None:
        """The center's connection stands."""
        self._command_timer.set(self.clock.now_ns + COMMAND_TIMEOUT_NS)

    def received(self, data: bytes) -> None:
        """The center has sent something."""
        try:
            for message in self._reader.feed(data):
                self._act(self._service.receive(message))
        except WireError as error:
            self._act(self._service.broken(error.reason))

    def broken(self, reason: Reason) -> None:
        """The center has gone."""
        self._act(self._service.broken(reason))

    def _no_command(self) -> None:
        """The center takes too long over its list."""
        self._tell(Refusal(Reason.TIMEOUT))
        self._act(self._service.broken(Reason.TIMEOUT))

    def _act(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Begin():
                    self._begin()
                case Send(message):
                    self._tell(message)
                case Refused(reason):
                    self.refusals[reason] = self.refusals.get(reason, 0) + 1
                    self._command_timer.clear()
                    self._retriever = None
                    self.reception = None

    def _tell(self, message: Message) -> None:
        if self._center is not None:
            self._center.send(encode(message))

    # retrieval

    @property
    def takes_calls(self) -> bool:
        """Whether terminals may call: as long as some of them are not accounted for."""
        return self.reception is not None and self.reception.is_open

    def nonce(self) -> bytes:
        """A new challenge."""
        self._nonces_drawn += 1
        return self._nonces.octets(self._nonces_drawn - 1, NONCE_BYTES)

    def count(self, event: Retrieved | Failed) -> Reason:
        """Count an attempt that is over; why it failed, or NONE."""
        reason = event.reason if isinstance(event, Failed) else Reason.NONE
        self.attempts_by_reason[reason] = self.attempts_by_reason.get(reason, 0) + 1
        return reason

    def report(self, report: Report, left: int) -> None:
        """Tell the center of a terminal that is done with; left: how many are not."""
        self._tell(report)
        if not left:
            self._act(self._service.done())

    def _begin(self) -> None:
        self._command_timer.clear()
        targets, retrieval = self._service.targets, self.plan.scenario.retrieval
        self.clock.note(self.name, f"list of {len(targets)} terminals")
        self.keys = [derive_key(self.plan.shared_secret, "shared", target.device_id) for target in targets]
        if retrieval.terminals_call:
            devices = [target.device_id for target in targets]
            book = CallBook(devices, retrieval.concurrency, retrieval.retry.max_attempts)
            self.reception = Reception(self, book, dict(zip(devices, self.keys, strict=True)))
            return
        self._retriever = Retriever(len(targets), retrieval.concurrency, retry_policy(self.plan.scenario))
        self._start(self._retriever.wake(self.clock.now_ns))

    def _start(self, indexes: Iterable[int]) -> None:
        for index in indexes:
            self.thread.do(self.costs.begin_ns, self._attempt, index)
        wake_ns = None if self._retriever is None else self._retriever.next_wake_ns
        if wake_ns is not None:
            self._wake.set(wake_ns)

    def _woken(self) -> None:
        if self._retriever is not None:
            self._start(self._retriever.wake(self.clock.now_ns))

    def _attempt(self, index: int) -> None:
        if self._retriever is None:
            return
        target = self._service.targets[index]
        nonce = self.nonce()
        if self.clock.is_traced:
            self.clock.note(self.name, f"attempt {self._retriever.attempts[index]} at device {target.device_id}")
        exchange = IspExchange(target.device_id, self.keys[index], self.plan.scheme, nonce, self.settings)
        Attempt(self, index, exchange).begin(terminal_of(target.device_id))

    def ended(self, index: int, event: Retrieved | Failed) -> None:
        """An attempt is over: report the terminal if it is done with, and go on."""
        retriever = self._retriever
        if retriever is None:
            return
        now_ns = self.clock.now_ns
        reason = self.count(event)
        if isinstance(event, Failed):
            started = retriever.failed(index, event.reason, now_ns)
        else:
            started = retriever.succeeded(index, now_ns)
        if self.clock.is_traced:
            self.clock.note(self.name, f"device {self._service.targets[index].device_id} {reason.name}")
        if retriever.outcome[index] is not Outcome.PENDING:
            self._report(retriever, index, event)
        self._start(started)

    def _report(self, retriever: Retriever, index: int, event: Retrieved | Failed) -> None:
        nonce, sealed = (event.isp_nonce, event.sealed) if isinstance(event, Retrieved) else (b"", b"")
        report = Report(
            self._service.targets[index].device_id,
            retriever.outcome[index],
            retriever.reason[index],
            retriever.attempts[index],
            event.elapsed_ns,
            nonce,
            sealed,
        )
        self.report(report, retriever.left)


class Attempt:
    """One attempt at one terminal: drives an exchange over a connection or socket."""

    __slots__ = ("_exchange", "_index", "_reader", "_server", "_socket", "_timer")

    def __init__(self, server: IspServer, index: int, exchange: IspExchange) -> None:
        self._server = server
        self._index = index
        self._exchange = exchange
        self._socket: TcpConnection | UdpSocket | None = None
        self._reader: FrameReader | None = None
        self._timer = Timer(server.clock, self._timed_out)

    def begin(self, terminal: int) -> None:
        """Connect (TCP) or say hello (UDP)."""
        server = self._server
        host = server.guest_of(terminal)
        events = self._exchange.begin(server.clock.now_ns)
        # Before the kernel's timer: at equal times ours goes first, since Linux' timer wheel fires late, never early.
        self._set_timer()
        if server.settings.stream:
            self._socket = server.kernel.connect(host, self, terminal=terminal, port=TERMINAL_PORT)
        else:
            self._socket = server.kernel.udp_socket(host, self, terminal=terminal)
        self._act(events)

    def opened(self) -> None:
        """The connection stands."""
        self._server.thread.do(self._server.costs.step_ns, self._opened)

    def received(self, data: bytes) -> None:
        """The terminal has sent something."""
        try:
            messages = self._messages(data)
        except WireError as error:
            self.broken(error.reason)
            return
        for message in messages:
            self._server.thread.do(self._server.costs.step_ns, self._received, message)

    def broken(self, reason: Reason) -> None:
        """Refused, reset or given up by the kernel."""
        self._server.thread.do(self._server.costs.fail_ns, self._broken, reason)

    def _messages(self, data: bytes) -> list[Message]:
        if not self._server.settings.stream:
            return [decode_datagram(data)]
        if self._reader is None:
            self._reader = FrameReader()
        return self._reader.feed(data)

    def _opened(self) -> None:
        self._act(self._exchange.opened(self._server.clock.now_ns))

    def _received(self, message: Message) -> None:
        self._act(self._exchange.receive(message, self._server.clock.now_ns))

    def _broken(self, reason: Reason) -> None:
        self._act(self._exchange.broken(reason, self._server.clock.now_ns))

    def _timed_out(self) -> None:
        self._act(self._exchange.timer(self._server.clock.now_ns))

    def _act(self, events: list[Event]) -> None:
        for event in events:
            match event:
                case Send(message) if self._socket is not None:
                    self._socket.send(encode(message))
                case Retrieved() | Failed():
                    self._end(event)
                    return
        self._set_timer()

    def _set_timer(self) -> None:
        timer_at_ns = self._exchange.timer_at_ns
        if timer_at_ns is not None:
            self._timer.set(timer_at_ns)

    def _end(self, event: Retrieved | Failed) -> None:
        self._timer.clear()
        if self._socket is not None:
            self._socket.abort()
        self._server.ended(self._index, event)
