"""The twin of a terminal guest: many terminals, each with a power cycle of its own, served by one program.

A terminal comes to exist when it is first asked; a power cycle is looked at when something arrives, and followed by
a call only while connections are open.
"""

from __future__ import annotations

from typing import Protocol

from hostemu.base.streams import Stream
from hostemu.measure.costs import Costs
from hostemu.protocol.auth import Credentials, derive_key
from hostemu.protocol.events import Event, Refused, Send, Served
from hostemu.protocol.power import PowerCycle
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import NonceMemory, TerminalSession
from hostemu.protocol.wire import NONCE_BYTES, FrameReader, Message, Receipt, WireError, decode_datagram, encode
from hostemu.scenario.derive import FIRST_DEVICE_ID, power_settings
from hostemu.sim.clock import Timer
from hostemu.sim.cpu import Thread
from hostemu.sim.kernel import Kernel, Port
from hostemu.sim.network import Host
from hostemu.sim.packets import Datagram, Segment
from hostemu.sim.plan import Plan
from hostemu.sim.tcp import TcpConnection

SESSIONS_PER_TERMINAL = 64
"""UDP exchanges that a terminal remembers; the oldest is forgotten first."""

PEER_TIMEOUT_NS = 10_000_000_000
"""How long a connection may stand: the real program's default."""

MESSAGES_PER_EXCHANGE = 2


class Terminal:
    """One terminal: its power, its keys, its connections (TCP) or sessions by peer (UDP)."""

    def __init__(self, index: int, power: PowerCycle, credentials: Credentials, information: bytes) -> None:
        self.index = index
        self.power = power
        self.credentials = credentials
        self.information = information
        self.memory = NonceMemory()
        self.connections: dict[Connection, None] = {}
        self.sessions: dict[int, TerminalSession] = {}
        self.awake_until_ns = -1
        self.is_watched = False


class Handler(Protocol):
    """Whoever has a connection."""

    def handle(self, message: Message) -> None:
        """Deal with a message now."""


class Farm:
    """The program and its guest's terminals, which ISP servers call."""

    def __init__(self, name: str, indexes: range, plan: Plan, kernel: Kernel, thread: Thread, costs: Costs) -> None:
        self.served = 0
        self.refusals: dict[Reason, int] = {}
        self.name = name
        self.kernel = kernel
        self.plan = plan
        self.clock = kernel.clock
        self.indexes = indexes
        self._thread = thread
        self._message_cost_ns = costs.terminal_exchange_ns // MESSAGES_PER_EXCHANGE
        self._terminals: dict[int, Terminal] = {}
        self._nonces = Stream.named(plan.seed, "simulated", "nonce", name)
        self._nonces_drawn = 0
        self._power = power_settings(plan.scenario)
        self.when_off = plan.port_when_off
        kernel.service = self
        kernel.charge(thread, costs)

    def start(self, isp_host: Host) -> None:
        """Nothing: a terminal waits to be asked."""

    def port(self, terminal: int | None, port: int) -> Port:
        """The state of a terminal's port now; nothing else listens on this guest."""
        if terminal is None:
            return Port.CLOSED
        return Port.OPEN if self.terminal(terminal).power.advance(self.clock.now_ns) else self.when_off

    def accept(self, connection: TcpConnection, syn: Segment) -> Connection:
        """A connection to a terminal that is on."""
        terminal = self.terminal(0 if syn.terminal is None else syn.terminal)
        owner = Connection(self, terminal, connection)
        terminal.connections[owner] = None
        self._watch(terminal)
        return owner

    def received_from(self, source: Host, datagram: Datagram) -> None:
        """A datagram to a terminal that is on."""
        terminal = self.terminal(0 if datagram.terminal is None else datagram.terminal)
        self._thread.do(self._message_cost_ns, self._handle_datagram, terminal, source, datagram)

    def session(self, terminal: Terminal) -> TerminalSession:
        """The terminal's side of a new exchange."""
        nonce = self._nonces.octets(self._nonces_drawn, NONCE_BYTES)
        self._nonces_drawn += 1
        return TerminalSession(terminal.credentials, self.plan.scheme, terminal.information, terminal.memory, nonce)

    def handle(self, connection: Handler, message: Message) -> None:
        """Have the program deal with a message of a connection, in its turn.  A receipt leaves nothing to do."""
        cost_ns = 0 if isinstance(message, Receipt) else self._message_cost_ns
        self._thread.do(cost_ns, connection.handle, message)

    def count(self, event: Event, terminal: Terminal) -> None:
        """Count what an exchange came to."""
        match event:
            case Served():
                self.served += 1
                self.clock.note(self.name, f"terminal {terminal.index} served")
            case Refused(reason):
                self.refusals[reason] = self.refusals.get(reason, 0) + 1
                self.clock.note(self.name, f"terminal {terminal.index} refused {reason.name}")

    def terminal(self, index: int) -> Terminal:
        """A terminal; made when it is first asked for."""
        terminal = self._terminals.get(index)
        if terminal is None:
            terminal = self._terminals[index] = self._make(index)
        return terminal

    def _make(self, index: int) -> Terminal:
        plan = self.plan
        device_id = FIRST_DEVICE_ID + index
        credentials = Credentials(
            device_id,
            shared_key=derive_key(plan.shared_secret, "shared", device_id),
            own_key=derive_key(plan.own_secret, "own", device_id),
        )
        power = PowerCycle(self._power, plan.seed, index)
        return Terminal(index, power, credentials, bytes(plan.scenario.retrieval.info_bytes))

    def _handle_datagram(self, terminal: Terminal, source: Host, datagram: Datagram) -> None:
        self._forget_last_day(terminal)
        if not terminal.power.is_on:
            return
        session = terminal.sessions.get(datagram.flow)
        if session is None:
            if len(terminal.sessions) >= SESSIONS_PER_TERMINAL:
                del terminal.sessions[next(iter(terminal.sessions))]
            session = terminal.sessions[datagram.flow] = self.session(terminal)
        try:
            events = session.receive(decode_datagram(datagram.data))
        except WireError as error:
            events = session.broken(error.reason)
        for event in events:
            if isinstance(event, Send):
                self.kernel.transmit(source, Datagram(datagram.flow, encode(event.message)))
            else:
                self.count(event, terminal)

    def _forget_last_day(self, terminal: Terminal) -> None:
        """Sessions end when the terminal is switched off."""
        terminal.power.advance(self.clock.now_ns)
        if terminal.awake_until_ns != terminal.power.next_change_ns:
            terminal.awake_until_ns = terminal.power.next_change_ns
            terminal.sessions.clear()

    def _watch(self, terminal: Terminal) -> None:
        """Follow the power cycle as long as the terminal has connections."""
        if not terminal.is_watched:
            terminal.is_watched = True
            self.clock.at(terminal.power.next_change_ns, self._switched, terminal)

    def _switched(self, terminal: Terminal) -> None:
        """The terminal goes off, or on again with connections left over from before."""
        terminal.is_watched = False
        is_on = terminal.power.advance(self.clock.now_ns)
        if terminal.connections:
            self.clock.note(self.name, f"terminal {terminal.index} {'on' if is_on else 'off'}")
        if is_on or self.when_off is Port.CLOSED:
            for owner in terminal.connections:
                owner.close()
            terminal.connections.clear()
            return
        for owner in terminal.connections:
            owner.fall_silent()
        if terminal.connections:
            self._watch(terminal)


class Connection:
    """A terminal's end of a TCP connection, and the exchange on it."""

    def __init__(self, farm: Farm, terminal: Terminal, connection: TcpConnection) -> None:
        self.connection = connection
        self._farm = farm
        self._terminal = terminal
        self._reader = FrameReader()
        self._session: TerminalSession | None = None
        self._timer = Timer(farm.kernel.clock, self._timed_out)

    def opened(self) -> None:
        """The ISP server is there."""
        self._session = self._farm.session(self._terminal)
        self._timer.set(self._farm.kernel.clock.now_ns + PEER_TIMEOUT_NS)

    def received(self, data: bytes) -> None:
        """The ISP server has sent something."""
        try:
            for message in self._reader.feed(data):
                self._farm.handle(self, message)
        except WireError as error:
            self._lost(error.reason)

    def broken(self, reason: Reason) -> None:
        """The ISP server has gone: with RST at the end of every exchange."""
        self._lost(reason)
        self._timer.clear()
        self._terminal.connections.pop(self, None)

    def close(self) -> None:
        """Reset the connection: the terminal is switched off."""
        self._timer.clear()
        self.connection.abort()

    def fall_silent(self) -> None:
        """The terminal is switched off and does not say so: only the kernel's timers go on."""
        self._timer.clear()
        self.connection.is_deaf = True

    def _timed_out(self) -> None:
        """The ISP server has been here too long: its reset was lost, or it is very slow."""
        self._lost(Reason.TIMEOUT)
        self._terminal.connections.pop(self, None)
        self.connection.abort()

    def handle(self, message: Message) -> None:
        """Answer one message."""
        if self._session is not None:
            self._act(self._session.receive(message))

    def _lost(self, reason: Reason) -> None:
        if self._session is not None:
            self._act(self._session.broken(reason))

    def _act(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Send):
                self.connection.send(encode(event.message))
            else:
                self._farm.count(event, self._terminal)
