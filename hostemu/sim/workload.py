"""A workload played in SimPy: hosts that ask others over TCP, and hosts that answer, along the workload's lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from itertools import count
from typing import Any

from simpy.events import Event

from hostemu.base.errors import InputError
from hostemu.protocol.reasons import Reason
from hostemu.records.workload import ProgramRecord
from hostemu.scenario.workload import Behaviour, Group, Workload
from hostemu.sim.clock import Clock
from hostemu.sim.cpu import Queue, Thread
from hostemu.sim.kernel import Kernel, Port
from hostemu.sim.network import Host, Network
from hostemu.sim.packets import Datagram, Segment
from hostemu.sim.tcp import Owner, TcpConnection

PORT = 80
FAILED = 1
"""Exit status of a program that somebody did not answer."""

NO_QUEUE = 1 << 30


class Answerer:
    """Answers whoever asks, one after the other."""

    def __init__(self, kernel: Kernel, behaviour: Behaviour, sizes: Callable[[Host], Behaviour]) -> None:
        self.kernel = kernel
        self.sizes = sizes
        self._work_ns = behaviour.work_ns
        self._free_ns = 0
        kernel.service = self

    def port(self, terminal: int | None, port: int) -> Port:
        """It listens on one port."""
        return Port.OPEN if terminal is None and port == PORT else Port.CLOSED

    def accept(self, connection: TcpConnection, syn: Segment) -> Owner:
        """Somebody is going to ask."""
        return _Question(self, connection)

    def received_from(self, source: Host, datagram: Datagram) -> None:
        """It takes no datagrams."""

    def answer(self, connection: TcpConnection, size: int) -> None:
        """Send an answer once all that have been asked for before are made."""
        clock = self.kernel.clock
        self._free_ns = max(self._free_ns, clock.now_ns) + self._work_ns
        clock.at(self._free_ns, connection.send, bytes(size))


class _Question:
    """One connection, seen by who answers."""

    def __init__(self, answerer: Answerer, connection: TcpConnection) -> None:
        self._answerer = answerer
        self._connection = connection
        self._left = answerer.sizes(connection.peer).request_bytes

    def opened(self) -> None:
        """Nothing is said before the question."""

    def received(self, data: bytes) -> None:
        """A part of the question."""
        self._left -= len(data)
        if self._left <= 0:
            self._answerer.answer(self._connection, self._answerer.sizes(self._connection.peer).answer_bytes)

    def broken(self, reason: Reason) -> None:
        """Who has asked is gone."""


class Asker:
    """Asks its questions, one after the other; `record` has how long each answer took, in seconds."""

    def __init__(
        self, kernel: Kernel, peer: Host, behaviour: Behaviour, record: ProgramRecord, done: Callable[[], None]
    ) -> None:
        self._kernel = kernel
        self._peer = peer
        self._behaviour = behaviour
        self._record = record
        self._done = done
        self._asked_ns = 0
        self._left = 0
        self._connection: TcpConnection | None = None

    def ask(self) -> None:
        """Begin the next question."""
        self._asked_ns = self._kernel.clock.now_ns
        self._left = self._behaviour.answer_bytes
        self._connection = self._kernel.connect(self._peer, self, port=PORT)

    def opened(self) -> None:
        """Say what is wanted."""
        assert self._connection is not None
        self._connection.send(bytes(self._behaviour.request_bytes))

    def received(self, data: bytes) -> None:
        """A part of the answer."""
        self._left -= len(data)
        if self._left > 0:
            return
        assert self._connection is not None
        self._connection.abort()
        clock = self._kernel.clock
        self._record.values.append((clock.now_ns - self._asked_ns) / 1e9)
        last = len(self._record.values) == self._behaviour.times
        clock.at(clock.now_ns + self._behaviour.pause_ns, self._end if last else self.ask, *((0,) if last else ()))

    def broken(self, reason: Reason) -> None:
        """There is no answer."""
        self._end(FAILED)

    def _end(self, status: int) -> None:
        self._record.ended_ns = self._kernel.clock.now_ns
        self._record.exit_status = status
        self._done()


class WorkloadWorld:
    """All hosts of a workload, put together.  InputError for groups of which the simulator knows nothing."""

    def __init__(self, workload: Workload) -> None:
        self.clock = Clock()
        self.records: list[ProgramRecord] = []
        self.hosts: list[Host] = []
        self._workload = workload
        self._network = Network(self.clock, Queue(Thread(self.clock, None), NO_QUEUE), 0)
        self._flows = count(1)
        self._behaviours: dict[str, Behaviour] = {}
        self._kernels: dict[str, list[Kernel]] = {}
        for name, group in workload.groups.items():
            self._kernels[name] = [self._kernel(name, number, group) for number in range(group.count)]
        self._open = 0
        self._finished: Event = self.clock.env.event()
        for name, group in workload.groups.items():
            self._populate(name, group)

    def play(self) -> None:
        """Let time pass until all that the run waits for have ended, or its deadline."""
        env = self.clock.env
        env.run(until=self._finished | env.timeout(self._workload.deadline_ns))

    def lines(self) -> list[dict[str, Any]]:
        """Counters of every line; forward is towards the router."""
        ways = (
            (host.line, way, line)
            for host in self.hosts
            for way, line in (("forward", host.up), ("backward", host.down))
        )
        return [{"name": name, "direction": way, **asdict(line.counters())} for name, way, line in ways]

    def _kernel(self, name: str, number: int, group: Group) -> Kernel:
        if group.simulated is None:
            raise InputError(
                f"the simulator does not know what the programs of group {name} do",
                expected=f"a table [groups.{name}.simulated]",
                found="none",
            )
        own = f"{name}-{number}"
        host = Host(own, own, group.line.up.spec(), group.line.down.spec(), self._workload.seed)
        self._behaviours[own] = group.simulated
        self.hosts.append(host)
        return Kernel(self.clock, self._network, host, self._flows)

    def _populate(self, name: str, group: Group) -> None:
        behaviour = group.simulated
        assert behaviour is not None
        for number, kernel in enumerate(self._kernels[name]):
            starts_ns = group.starts_ns + number * group.stagger_ns
            record = ProgramRecord(kernel.host.name, name, started_ns=starts_ns)
            self.records.append(record)
            if behaviour.asks is None:
                Answerer(kernel, behaviour, lambda asker: self._behaviours[asker.name])
                continue
            self._open += group.ends
            peer = self._kernels[behaviour.asks][0].host
            asker = Asker(kernel, peer, behaviour, record, self._ended if group.ends else _nothing)
            self.clock.at(starts_ns, asker.ask)

    def _ended(self) -> None:
        self._open -= 1
        if self._open == 0:
            self._finished.succeed()


def _nothing() -> None:
    pass
