"""The twin of a guest whose terminals call their ISP server: each one at its wake-ups, until it has a receipt."""

from __future__ import annotations

from collections.abc import Iterable

from hostemu.protocol.call import TerminalCall
from hostemu.protocol.calling import CallSchedule
from hostemu.protocol.events import Delivered, Event, Failed, Send
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import FrameReader, Message, WireError, encode
from hostemu.scenario.derive import CALL_PORT, exchange_settings, program_of
from hostemu.sim.clock import Timer
from hostemu.sim.farm import Farm, Terminal
from hostemu.sim.kernel import Port
from hostemu.sim.network import Host
from hostemu.sim.tcp import TcpConnection


class CallingFarm(Farm):
    """The program and its guest's terminals, none of which listens."""

    def start(self, isp_host: Host) -> None:
        """Time 0 of all power cycles."""
        for index in self.indexes:
            Caller(self, self.terminal(index), isp_host).start()

    def port(self, terminal: int | None, port: int) -> Port:
        """Nobody listens, on or off."""
        return Port.CLOSED


class Caller:
    """One terminal: what it does when it goes on and off."""

    def __init__(self, farm: CallingFarm, terminal: Terminal, isp_host: Host) -> None:
        scenario = farm.plan.scenario
        retry = scenario.retrieval.retry
        self.farm = farm
        self.terminal = terminal
        self.settings = exchange_settings(scenario)
        self._isp_host = isp_host
        self._port = CALL_PORT + program_of(scenario, terminal.index)
        self._schedule = CallSchedule(retry.interval_ns, retry.max_attempts)
        self._again = Timer(farm.clock, self._begin)
        self._call: Outgoing | None = None
        self._cut_off: list[Outgoing] = []

    def start(self) -> None:
        """Wait for the next change of power: a terminal that is on already does not call before it wakes up."""
        self.farm.clock.at(self.terminal.power.next_change_ns, self._switched)

    def ended(self, event: Delivered | Failed) -> None:
        """The call is over."""
        self._call = None
        if isinstance(event, Delivered):
            self._schedule.delivered()
        else:
            self._again.set(self._schedule.failed(event.reason, self.farm.clock.now_ns))
        if self._schedule.is_over:
            self._again.clear()

    def _switched(self) -> None:
        is_on = self.terminal.power.advance(self.farm.clock.now_ns)
        if is_on:
            self._wake()
        else:
            self._sleep()
        if self._cut_off or not self._schedule.is_over:
            self.start()

    def _wake(self) -> None:
        """Connections from before the off time are unknown to a terminal that has just started."""
        for call in self._cut_off:
            call.connection.abort()
        self._cut_off.clear()
        if not self._schedule.is_over:
            self._begin()

    def _sleep(self) -> None:
        call = self._call
        if call is not None:
            call.cut_off(is_silent=self.farm.when_off is Port.SILENT)
            if self.farm.when_off is Port.SILENT:
                self._cut_off.append(call)
        self._again.clear()

    def _begin(self) -> None:
        attempt = self._schedule.begin()
        if self.farm.clock.is_traced:
            self.farm.clock.note(self.farm.name, f"terminal {self.terminal.index} calls, attempt {attempt}")
        self._call = Outgoing(self, TerminalCall(self.farm.session(self.terminal), attempt, self.settings))
        self._call.begin(self._isp_host, self._port)


class Outgoing:
    """A terminal's end of a connection to its ISP server."""

    connection: TcpConnection

    def __init__(self, caller: Caller, call: TerminalCall) -> None:
        self._caller = caller
        self._farm = caller.farm
        self._clock = caller.farm.clock
        self._call = call
        self._reader = FrameReader()
        self._timer = Timer(self._clock, self._timed_out)

    def begin(self, isp_host: Host, port: int) -> None:
        """Connect."""
        self._call.begin(self._clock.now_ns)
        # Before the kernel's timer: see hostemu.sim.isp_server.
        self._set_timer()
        self.connection = self._farm.kernel.connect(isp_host, self, port=port)

    def opened(self) -> None:
        """The connection stands."""
        self._act(self._call.opened(self._clock.now_ns))
        self._set_timer()

    def received(self, data: bytes) -> None:
        """The ISP server has sent something."""
        try:
            for message in self._reader.feed(data):
                self._farm.handle(self, message)
        except WireError as error:
            self.broken(error.reason)

    def broken(self, reason: Reason) -> None:
        """The connection is gone."""
        self._act(self._call.broken(reason, self._clock.now_ns))

    def cut_off(self, *, is_silent: bool) -> None:
        """The terminal is switched off, and says so by a reset, or does not: only the kernel's timers go on."""
        self.connection.is_deaf = is_silent
        self.broken(Reason.RESET)

    def handle(self, message: Message) -> None:
        """Answer one message."""
        self._act(self._call.receive(message, self._clock.now_ns))

    def _timed_out(self) -> None:
        self._act(self._call.timer(self._clock.now_ns))

    def _set_timer(self) -> None:
        if self._call.timer_at_ns is not None:
            self._timer.set(self._call.timer_at_ns)

    def _act(self, events: Iterable[Event]) -> None:
        for event in events:
            match event:
                case Send(message):
                    self.connection.send(encode(message))
                case Delivered() | Failed():
                    self._timer.clear()
                    if not self.connection.is_deaf:
                        self.connection.abort()
                    self._caller.ended(event)
                case _:
                    self._farm.count(event, self._caller.terminal)
