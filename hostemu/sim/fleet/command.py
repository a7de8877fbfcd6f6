"""How long a command takes from the center to an ISP server program, by the twin's own TCP."""

from __future__ import annotations

from itertools import count

from hostemu.protocol.command import TARGETS_PER_COMMAND
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import Command, Start, encode
from hostemu.scenario import Scenario
from hostemu.scenario.derive import ISP_PORT
from hostemu.sim.clock import Clock
from hostemu.sim.cpu import Queue, Thread
from hostemu.sim.kernel import Kernel, Port
from hostemu.sim.network import Host, Network
from hostemu.sim.packets import Datagram, Segment
from hostemu.sim.plan import target
from hostemu.sim.tcp import TcpConnection


def command_times(scenario: Scenario, size: int) -> tuple[int, int]:
    """(when the command is given, when its list of `size` terminals has arrived), since the run's time 0."""
    clock = Clock()
    network = Network(clock, Queue(Thread(clock, None), 0), 0)
    lines = scenario.lines
    flows = count(1)
    center = Kernel(
        clock, network, Host("center", "center", lines.center.up.spec(), lines.center.down.spec(), 0), flows
    )
    isp = Kernel(clock, network, Host("isp", "isp", lines.isp.up.spec(), lines.isp.down.spec(), 0), flows)
    giver = _Giver(clock, _pieces(size))
    taker = _Taker(clock, giver.size_bytes)
    isp.service = taker
    giver.connection = center.connect(isp.host, giver, port=ISP_PORT)
    clock.env.run(until=taker.complete)
    return giver.given_ns, taker.complete_ns


def _pieces(size: int) -> list[bytes]:
    """The messages of a command of so many targets, as `CenterJob` sends them; only their sizes matter."""
    whole, rest = divmod(size, TARGETS_PER_COMMAND)
    full = encode(Command((target(0),) * TARGETS_PER_COMMAND))
    pieces = [full] * whole
    if rest:
        pieces.append(encode(Command((target(0),) * rest)))
    return [*pieces, encode(Start(size))]


class _Giver:
    """The center's end."""

    def __init__(self, clock: Clock, pieces: list[bytes]) -> None:
        self.size_bytes = sum(map(len, pieces))
        self.connection: TcpConnection | None = None
        self.given_ns = -1
        self._clock = clock
        self._pieces = pieces

    def opened(self) -> None:
        self.given_ns = self._clock.now_ns
        if self.connection is not None:
            for piece in self._pieces:
                self.connection.send(piece)

    def received(self, data: bytes) -> None:
        """Nobody answers."""

    def broken(self, reason: Reason) -> None:
        """Lines that only delay break no connection."""


class _Taker:
    """The ISP server's end, and its host's service."""

    def __init__(self, clock: Clock, size_bytes: int) -> None:
        self.complete = clock.env.event()
        self.complete_ns = -1
        self._clock = clock
        self._left_bytes = size_bytes

    def port(self, terminal: int | None, port: int) -> Port:
        return Port.OPEN

    def accept(self, connection: TcpConnection, syn: Segment) -> _Taker:
        return self

    def received_from(self, source: Host, datagram: Datagram) -> None:
        """Nobody sends datagrams."""

    def opened(self) -> None:
        """The command follows."""

    def received(self, data: bytes) -> None:
        self._left_bytes -= len(data)
        if not self._left_bytes:
            self.complete_ns = self._clock.now_ns
            self.complete.succeed()

    def broken(self, reason: Reason) -> None:
        """Lines that only delay break no connection."""
