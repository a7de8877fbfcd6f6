"""The calendar: owns the clocks of guests, and carries their frames, in virtual time.

A SimPy environment may own the calendar in turn: `Calendar.follow` lets no guest pass the environment's next event.
"""

from __future__ import annotations

import select
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np
from simpy import Environment

from hostemu.base.deadline import Deadline
from hostemu.base.errors import GuestError, InputError
from hostemu.gine import EngineHealth, NamedLineCounters, NodeCounters, audit, counters
from hostemu.gine.assemble import assemble
from hostemu.gine.network import Network, Port, parse_mac
from hostemu.gine.shared import Shared
from hostemu.gine.world import DROP_NO_SLOT
from hostemu.measure.costs import Charge
from hostemu.sim.virtual.board import Channels, GuestBoard
from hostemu.sim.virtual.tables import MOST_FDS, MOST_INTERFACES, Meeting, empty_machines
from hostemu.sim.virtual.windows import DONE, SILENT, TRACE_FULL, advance

SLOTS = 16384
SPINS = 50
ACK, START = range(2)
"""Of the clock's messages (include/uapi/linux/um_timetravel.h) those that are sent by its socket."""
_START = struct.Struct("<IIQ")
SILENT_MS = 30_000
BACKLOG = 1024
_FIRST_FREE_FD = 3


def lookahead_ns(network: Network) -> int:
    """The least time that a frame takes between two ports.  InputError when it is none."""
    delays: dict[str, tuple[int, int]] = {}
    for link in network.links:
        ends, ways_ns = (link.first, link.second), (link.forward.delay_ns, link.backward.delay_ns)
        is_direct = all(isinstance(end, Port) for end in ends)
        delays[link.first.name] = ways_ns[0], 0 if is_direct else ways_ns[1]
        delays[link.second.name] = ways_ns[1], 0 if is_direct else ways_ns[0]
    ways = [delays.get(port.name, (0, 0)) for port in network.ports]
    if len(ways) < 2:
        return 1_000_000
    first, second = sorted(range(len(ways)), key=lambda k: ways[k][1])[:2]
    least = min(up_ns + ways[second if k == first else first][1] for k, (up_ns, _) in enumerate(ways))
    if least <= 0:
        raise InputError(
            "virtual time needs lines that take time",
            expected="a delay on the way between any two hosts",
            found=f"delays towards the router from {min(ways)[0]} ns, away from it from {ways[first][1]} ns",
            hint="give all lines but one a delay",
        )
    return least


class Calendar:
    """Guests of one network, and their time.  A context manager.

    network: its ports are NICs of guests that are expected, in this order; their descriptors are not used.
        Ports of simulated hosts are behind those.
    macs: of the NICs.  guests: name and number of NICs of each guest; None: each port is a guest with one.
    folder: for sockets; its path must be short.
    tod_ns: the wall time at the calendar's 0, which guests' clocks show.
    trace: takes a row of tables.TRACE for every frame that a guest sends or is handed.
    """

    def __init__(
        self,
        network: Network,
        macs: Sequence[str],
        folder: Path,
        *,
        guests: Sequence[tuple[str, int]] | None = None,
        tod_ns: int = 1_700_000_000 * 10**9,
        slots: int = SLOTS,
        trace: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        real = [port.name for port in network.ports if port.host is None]
        if any(port.host is not None for port in network.ports[: len(real)]):
            raise ValueError("simulated hosts are behind guests in the network's order")
        each = [(name, 1) for name in real] if guests is None else list(guests)
        if sum(count for _, count in each) != len(real) or max(count for _, count in each) > MOST_INTERFACES:
            raise ValueError(f"guests have as many NICs as there are ports for them, at most {MOST_INTERFACES} each")
        self.names = [name for name, _ in each]
        self._folder = folder
        self._trace = trace
        self._network = network
        self._slots = slots
        self._world = assemble(network, slots)
        self._meeting = Meeting(len(self.names))
        self._machines = empty_machines(self._meeting, [count for _, count in each], len(network.ports), slots)
        left = iter(macs)
        for desk, (_, count) in zip(self._machines.desks, each, strict=True):
            for nic in range(count):
                desk[f"mac{nic}"] = int.from_bytes(parse_mac(next(left)).to_bytes(6, "big"), "little")
        calendar = self._machines.calendar[0]
        calendar.lookahead_ns = lookahead_ns(network)
        self._machines.hall[0].tod_ns = tod_ns
        calendar.spins = SPINS
        calendar.silent_ms = SILENT_MS
        calendar.is_traced = trace is not None
        self._shared = Shared(self._world), Shared(self._machines)
        self._clocks: dict[int, socket.socket] = {}
        self._resources = ExitStack()
        self.channels = Channels(lambda: self.play(self.now_ns + self.lookahead_ns), self.poke)
        self.ended: list[str] = []

    def __enter__(self) -> Calendar:
        with ExitStack() as stack:
            epoll = stack.enter_context(select.epoll())
            self._epoll = epoll
            self._machines.calendar[0].epoll = epoll.fileno()
            stack.callback(self._close)
            self._listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            self._listener.bind(str(self.clock_path))
            stack.callback(self.clock_path.unlink, missing_ok=True)
            self._listener.listen(BACKLOG)
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def _close(self) -> None:
        self._meeting.close()
        for sock in self._clocks.values():
            sock.close()
        self._clocks.clear()

    @property
    def clock_path(self) -> Path:
        """Where guests ask for time."""
        return self._folder / "clock"

    @property
    def now_ns(self) -> int:
        """The moment that all guests have come to."""
        return int(self._machines.calendar[0].now_ns)

    @property
    def lookahead_ns(self) -> int:
        """The longest window of time in which guests run at once."""
        return int(self._machines.calendar[0].lookahead_ns)

    def counters(self) -> dict[str, int]:
        """What has happened so far."""
        calendar, guests, desks = self._machines.calendar[0], self._machines.guests, self._machines.desks
        own = {name: int(calendar[name]) for name in ("windows", "turns", "frames_sent")}
        return own | {
            "messages": int(desks.messages.sum()),
            "frames_received": int(desks.taken.sum()),
            "no_buffer": int(guests.no_buffer.sum() + desks.no_buffer.sum()),
            "too_long": int(desks.too_long.sum()),
            "late": int(guests.late.sum()),
        }

    def line_counters(self) -> list[NamedLineCounters]:
        """Packets and bytes of every line, in the order of the links, forward before backward."""
        return counters.of_lines(self._world, self._network)

    def node_counters(self) -> list[NodeCounters]:
        """Packets at every port, switch and router."""
        return counters.of_nodes(self._world, self._network)

    def imbalances(self) -> list[str]:
        """Every sum of counters that does not add up, in words.  There should be none."""
        return audit.imbalances(self._world, self._network)

    def health(self) -> EngineHealth:
        """As of a real engine: frames that guests had no room for are write errors, those that came late are late."""
        state, ports, own = self._world.state[0], self._world.ports, self.counters()
        return EngineHealth(
            late_p50_ns=0,
            late_p90_ns=0,
            late_p99_ns=0,
            late_max_ns=0,
            late_over_1ms=own["late"],
            frames_read=int(state.frames_read),
            frames_written=int(state.frames_written),
            packets_read=int(ports.packets_read.sum()),
            packets_written=int(ports.packets_written.sum()),
            malformed=int(ports.malformed.sum()) + own["too_long"],
            pool_exhausted=int(state.pool_exhausted),
            packets_discarded=int(state.packets_discarded + self._world.tally[:, DROP_NO_SLOT].sum()),
            write_errors=own["no_buffer"],
            down_errors=0,
            ports_closed=0,
            wakeups=own["windows"],
            cpu_ns=0,
            spun_ns=0,
            busy=0.0,
            slots=self._slots,
            slots_used=self._slots - int(state.lowest_free),
        )

    def _start(self, sock: socket.socket) -> None:
        """A guest's kernel has begun to boot, and asks for its clock."""
        message = sock.recv(_START.size, socket.MSG_WAITALL)
        operation, seq, number = _START.unpack(message) if len(message) == _START.size else (0, 0, 0)
        if operation != START or number >= len(self.names) or number in self._clocks:
            sock.close()
            return
        fd = sock.fileno()
        if fd >= MOST_FDS:
            raise InputError("too many open files for virtual time", expected=f"below {MOST_FDS}", found=str(fd))
        guest = self._machines.guests[number]
        guest.now_ns = guest.horizon_ns = self._machines.desks[number].now_ns = self.now_ns
        guest.has_turn = 1
        guest.over = guest.parked = 0
        self._machines.calendar[0].active += 1
        self._machines.by_fd[fd] = number
        self._clocks[number] = sock
        self._epoll.register(fd, select.EPOLLIN)
        socket.send_fds(sock, [_START.pack(ACK, seq, 0)], [self._meeting.fd])

    def charge(self, charge: Charge) -> None:
        """From now on what guests' kernels do takes their CPUs so long."""
        desks = self._machines.desks
        desks.frame_ns, desks.kib_ns = charge.frame_ns, charge.kib_ns
        desks.call_ns, desks.fault_ns = charge.call_ns, charge.fault_ns

    def charged_ns(self, number: int) -> int:
        """What has been charged of a guest's time."""
        return int(self._machines.desks[number].charged_ns)

    def poke(self, number: int) -> None:
        """Have a guest look around at once: something that is not of this calendar has come in for it."""
        guest = self._machines.guests[number]
        if not guest.over:
            guest.poked = 1
            guest.horizon_ns = max(guest.horizon_ns, self.now_ns)  # not before what everybody has come to

    def board(self, number: int) -> GuestBoard:
        """What serves the channel to a guest."""
        return GuestBoard(self.channels, number)

    def wall_ns(self) -> int:
        """The wall time that guests' clocks show."""
        return int(self._machines.hall[0].tod_ns) + self.now_ns

    def await_start(self, deadline: Deadline, count: int, check: Callable[[], None] = lambda: None) -> None:
        """Until so many guests have asked for their clocks; meanwhile they boot as far as they get without time.

        check: called now and then; raises when there is nothing to wait for.
        """
        while len(self._clocks) < count:
            deadline.check()
            check()
            if select.select([self._listener], [], [], min(0.1, deadline.left_s()))[0]:
                self._start(self._listener.accept()[0])
        self.play(self.now_ns)

    def play(self, until_ns: int) -> None:
        """Let time pass until `until_ns`; all guests then wait.

        GuestError when one says nothing for SILENT_MS; whose clock has ended is in `ended`.  What a simulated host
        has raised is raised here.
        """
        while True:
            said = int(advance(self._shared[0].address, self._shared[1].address, until_ns))
            if said == DONE:
                self._hand_trace()
                for port in self._network.ports:
                    if port.host is not None:
                        port.host.check()
                return
            if said == TRACE_FULL:
                self._hand_trace()
            elif said == SILENT:
                silent = [name for name, row in zip(self.names, self._machines.guests, strict=True) if not row.parked]
                raise GuestError(
                    "guests do not answer their clock",
                    expected=f"an answer within {SILENT_MS // 1000} s",
                    found=f"none from {', '.join(silent)}",
                    hint="a program that waits in a loop, without sleeping, never lets virtual time pass",
                )
            else:
                self.ended = [
                    n for k, n in enumerate(self.names) if k in self._clocks and self._machines.guests[k].over
                ]

    def _hand_trace(self) -> None:
        calendar = self._machines.calendar[0]
        if self._trace is not None and calendar.traced:
            self._trace(self._machines.trace[: calendar.traced].copy())
            calendar.traced = 0

    def follow(self, env: Environment) -> Iterator[object]:
        """A process of a SimPy environment that counts ns: guests' time is the environment's.

        Guests run up to the environment's next event, or one window, and wait there.
        """
        while True:
            until_ns = int(min(env.peek(), env.now + self.lookahead_ns))
            self.play(until_ns)
            yield env.timeout(until_ns - env.now)


def port_descriptors(count: int) -> list[int]:
    """Numbers for ports that have no descriptor; a network wants them to differ."""
    return list(range(_FIRST_FREE_FD, _FIRST_FREE_FD + count))
