"""The simulated world of one scenario: all hosts, lines and programs, put together and played to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from typing import TextIO

from simpy import Resource

from hostemu.lines import Line
from hostemu.measure.costs import Costs
from hostemu.scenario import Scenario
from hostemu.scenario.derive import CALL_PORT, ISP_PORT
from hostemu.sim.calling import CallingFarm
from hostemu.sim.center import Center
from hostemu.sim.clock import Clock
from hostemu.sim.cpu import Queue, Thread
from hostemu.sim.farm import Farm
from hostemu.sim.isp_server import IspServer
from hostemu.sim.kernel import Kernel, Port
from hostemu.sim.network import Host, Network
from hostemu.sim.packets import Datagram, Segment
from hostemu.sim.plan import Plan
from hostemu.sim.tcp import Owner, TcpConnection


class IspHost:
    """The host of the ISP server programs: a port for each, and one for calls of its terminals."""

    def __init__(self, kernel: Kernel) -> None:
        self.programs: list[IspServer] = []
        self.kernel = kernel
        kernel.service = self

    def port(self, terminal: int | None, port: int) -> Port:
        """Programs listen from ISP_PORT on, and from CALL_PORT on as long as they take calls."""
        if terminal is not None:
            return Port.CLOSED
        called = self._called(port)
        if called is not None:
            return Port.OPEN if called.takes_calls else Port.CLOSED
        return Port.OPEN if 0 <= port - ISP_PORT < len(self.programs) else Port.CLOSED

    def accept(self, connection: TcpConnection, syn: Segment) -> Owner:
        """The center, or a terminal, calls a program."""
        called = self._called(syn.port)
        if called is not None and called.reception is not None:
            return called.reception.incoming(connection)
        program = self.programs[syn.port - ISP_PORT]
        program.accepted(connection)
        return program

    def _called(self, port: int) -> IspServer | None:
        """The program that a terminal which calls this port wants."""
        number = port - CALL_PORT
        return self.programs[number] if 0 <= number < len(self.programs) else None

    def received_from(self, source: Host, datagram: Datagram) -> None:
        """No program takes datagrams from strangers."""


class World:
    """threads: of each program, by name, the router (the network emulator's engine) included."""

    def __init__(
        self,
        scenario: Scenario,
        seed: int,
        costs: Costs,
        trace: TextIO | None = None,
        on_progress: Callable[[int, int, int], None] | None = None,
    ) -> None:
        self.clock = Clock(trace)
        self.plan = Plan(scenario, seed)
        self.threads: dict[str, Thread] = {}
        self._costs = costs
        self._cores = None if costs.is_free else Resource(self.clock.env, capacity=costs.cores)
        waiting = Queue(self._thread("router"), costs.router_queue_frames)
        self._network = Network(self.clock, waiting, costs.router_frame_ns)
        self._flows = count(1)
        lines = scenario.lines
        center_kernel = self._kernel(Host("center", "center", lines.center.up.spec(), lines.center.down.spec(), seed))
        isp_kernel = self._kernel(Host("isp", "isp", lines.isp.up.spec(), lines.isp.down.spec(), seed))
        self.center = Center(self.plan, center_kernel, self._thread("center"), costs, on_progress)
        if scenario.hosts.center == "guest":
            center_kernel.charge(self.threads["center"], costs)
        self.isp = IspHost(isp_kernel)
        self.farms = [self._farm(guest) for guest in range(scenario.guests)]
        self.isp.programs += [self._isp_server(number) for number in range(scenario.isp_programs)]
        self._kernels = [center_kernel, isp_kernel, *(farm.kernel for farm in self.farms)]
        self.hosts = [kernel.host for kernel in self._kernels]

    def play(self) -> None:
        """Let time pass until every terminal is accounted for; the deadline sees to it that this comes."""
        for farm in self.farms:
            farm.start(self.isp.kernel.host)
        self.center.start(self.isp.kernel.host, len(self.isp.programs))
        self.clock.env.run(until=self.center.finished)

    @property
    def router_dropped(self) -> int:
        """Frames that found no room in front of the router."""
        return self._network.queue.dropped

    @property
    def nics_dropped(self) -> int:
        """Frames that found no room at guests' NICs."""
        return sum(kernel.nic.dropped for kernel in self._kernels if kernel.nic is not None)

    def lines(self) -> Iterator[tuple[str, str, Line]]:
        """(name, direction, line) of every line; forward is towards the router."""
        for host in self.hosts:
            yield host.line, "forward", host.up
            yield host.line, "backward", host.down

    def _thread(self, name: str) -> Thread:
        self.threads[name] = Thread(self.clock, self._cores)
        return self.threads[name]

    def _kernel(self, host: Host) -> Kernel:
        return Kernel(self.clock, self._network, host, self._flows)

    def _farm(self, guest: int) -> Farm:
        line = self.plan.scenario.lines.terminals
        name = f"farm-{guest}"
        host = Host(f"guest-{guest}", f"terminals-{guest}", line.up.spec(), line.down.spec(), self.plan.seed)
        make = CallingFarm if self.plan.scenario.retrieval.terminals_call else Farm
        return make(
            name, self.plan.terminals_of(guest), self.plan, self._kernel(host), self._thread(name), self._costs
        )

    def _isp_server(self, number: int) -> IspServer:
        thread = self._thread(f"isp-{number}")
        return IspServer(number, self.plan, self.isp.kernel, thread, self._costs, self._host_of)

    def _host_of(self, terminal: int) -> Host:
        return self.farms[self.plan.guest_of(terminal)].kernel.host
