"""The calendar: owns the clocks of guests, and carries their frames, in virtual time.

A SimPy environment may own the calendar in turn: `Calendar.follow` lets no guest pass the environment's next event.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType

import numpy as np
from simpy import Environment

from hostemu.base.deadline import Deadline
from hostemu.base.errors import GuestError, InputError
from hostemu.gine import EngineHealth, NamedLineCounters, NodeCounters, audit, counters
from hostemu.gine.assemble import assemble
from hostemu.gine.network import Network
from hostemu.gine.shared import Shared
from hostemu.gine.world import DROP_NO_SLOT
from hostemu.sim.virtual.board import Channels, GuestBoard
from hostemu.sim.virtual.device import Device
from hostemu.sim.virtual.tables import CALLS, CLOCK, KICKS, KINDS, MOST_FDS, RUNNING, empty_machines
from hostemu.sim.virtual.talk import ACK, MESSAGE_BYTES, START
from hostemu.sim.virtual.windows import DONE, ENDED, SILENT, TRACE_FULL, advance

SLOTS = 16384
SPINS = 200
SILENT_MS = 30_000
BACKLOG = 1024
_FIRST_FREE_FD = 3


def lookahead_ns(network: Network) -> int:
    """The least time that a frame takes between two ports.  InputError when it is none."""
    ways = [_delays(network, name) for name in (port.name for port in network.ports)]
    if len(ways) < 2:
        return 1_000_000
    up = sorted(way[0] for way in ways)
    down = sorted(way[1] for way in ways)
    least = min(up_ns + _least_of_others(ways, k) for k, (up_ns, _) in enumerate(ways))
    if least <= 0:
        raise InputError(
            "virtual time needs lines that take time",
            expected="a delay on the way between any two hosts",
            found=f"delays towards the router from {up[0]} ns, away from it from {down[0]} ns",
            hint="give all lines but one a delay",
        )
    return least


def _least_of_others(ways: Sequence[tuple[int, int]], own: int) -> int:
    return min(down_ns for k, (_, down_ns) in enumerate(ways) if k != own)


def _delays(network: Network, port: str) -> tuple[int, int]:
    """The delays of a port's line, away from it and towards it."""
    for link in network.links:
        if link.first.name == port:
            return link.forward.delay_ns, link.backward.delay_ns
        if link.second.name == port:
            return link.backward.delay_ns, link.forward.delay_ns
    return 0, 0


class Calendar:
    """Guests of one network, and their time.  A context manager.

    network: its ports are guests that are expected, in this order; their descriptors are not used.
    macs: of the guests' interfaces.  folder: for sockets; its path must be short.
    tod_ns: the wall time at the calendar's 0, which guests' clocks show.
    trace: takes a row of tables.TRACE for every frame that a guest sends or is handed.
    """

    def __init__(
        self,
        network: Network,
        macs: Sequence[str],
        folder: Path,
        *,
        tod_ns: int = 1_700_000_000 * 10**9,
        slots: int = SLOTS,
        trace: Callable[[np.ndarray], None] | None = None,
    ) -> None:
        self.names = [port.name for port in network.ports]
        self._macs = list(macs)
        self._folder = folder
        self._trace = trace
        self._network = network
        self._slots = slots
        self._world = assemble(network, slots)
        self._machines = empty_machines(len(self.names), slots)
        calendar = self._machines.calendar[0]
        calendar.lookahead_ns = lookahead_ns(network)
        calendar.tod_ns = tod_ns
        calendar.spins = SPINS
        calendar.silent_ms = SILENT_MS
        calendar.is_traced = trace is not None
        self._shared = Shared(self._world), Shared(self._machines)
        self._devices: dict[int, Device] = {}
        self._clocks: dict[int, socket.socket] = {}
        self._python: dict[int, Callable[[bytes], None]] = {}
        self._resources = ExitStack()
        self.channels = Channels(lambda: self.play(self.now_ns + self.lookahead_ns), self.poke)
        self.ended: list[str] = []

    def __enter__(self) -> Calendar:
        with ExitStack() as stack:
            epoll = stack.enter_context(select.epoll())
            self._epoll = epoll
            self._machines.calendar[0].epoll = epoll.fileno()
            stack.callback(self._close)
            self._listener = self._listen(stack, self.clock_path, self._start)
            for number in range(len(self.names)):
                self._listen(stack, self.device_path(number), partial(self._plug, number))
            self._resources = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def _close(self) -> None:
        for device in self._devices.values():
            device.close()
        for sock in self._clocks.values():
            sock.close()
        self._devices.clear()
        self._clocks.clear()

    @property
    def clock_path(self) -> Path:
        """Where guests ask for time."""
        return self._folder / "clock"

    def device_path(self, number: int) -> Path:
        """Where guest `number` finds its network interface."""
        return self._folder / f"nic{number}"

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
        calendar, guests = self._machines.calendar[0], self._machines.guests
        names = ("messages", "windows", "runs", "calls", "frames_sent", "frames_received")
        own = {name: int(calendar[name]) for name in names}
        return own | {name: int(guests[name].sum()) for name in ("no_buffer", "late", "too_long")}

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

    def _listen(self, stack: ExitStack, path: Path, accepted: Callable[[socket.socket], None]) -> socket.socket:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        stack.callback(path.unlink, missing_ok=True)
        listener.listen(BACKLOG)
        self._serve(listener, lambda _unread: accepted(listener.accept()[0]))
        return listener

    def _serve(self, sock: socket.socket, served: Callable[[bytes], None]) -> None:
        """Have Python serve a descriptor."""
        fd = sock.fileno()
        if fd >= MOST_FDS:
            raise InputError("too many open files for virtual time", expected=f"below {MOST_FDS}", found=str(fd))
        self._python[fd] = served
        self._epoll.register(fd, select.EPOLLIN)

    def _compile(self, fd: int, guest: int, kind: int) -> None:
        """Have compiled code serve a descriptor from now on."""
        self._machines.by_fd[fd] = guest * KINDS + kind

    def _start(self, sock: socket.socket) -> None:
        """A guest's kernel has begun to boot, and asks for its clock."""
        message = np.frombuffer(sock.recv(MESSAGE_BYTES, socket.MSG_WAITALL), np.uint32)
        if len(message) != MESSAGE_BYTES // 4 or message[0] != START or message[2] >= len(self.names):
            sock.close()
            return
        number = int(message[2])
        guest = self._machines.guests[number]
        sock.sendall(np.array([ACK, message[1], 0, 0], np.uint32).tobytes())
        sock.setblocking(False)
        self._clocks[number] = sock
        self._serve(sock, lambda _unread: None)
        self._compile(sock.fileno(), number, CLOCK)
        guest.clock_fd = sock.fileno()
        guest.now_ns = guest.horizon_ns = self.now_ns
        guest.state = RUNNING
        guest.over = guest.parked = 0
        self._machines.calendar[0].active += 1

    def _plug(self, number: int, sock: socket.socket) -> None:
        """A guest's kernel has found its network interface."""
        sock.setblocking(False)
        device = Device(self._machines, number, self.names[number], self._macs[number], sock)
        self._devices[number] = device
        self._serve(sock, lambda unread: self._set_up(number, unread))
        self._machines.guests[number].kick_fd = sock.fileno()

    def _set_up(self, number: int, unread: bytes) -> None:
        """A guest's interface is told something that is no kick."""
        device = self._devices[number]
        fd = device.sock.fileno()
        has_calls = device.calls is not None
        if not device.serve(unread):
            self._epoll.unregister(fd)
            self._machines.by_fd[fd] = -1
            return
        if device.calls is not None and not has_calls:
            self._serve(device.calls, lambda _unread: None)
            self._compile(device.calls.fileno(), number, CALLS)
            self._machines.guests[number].call_fd = device.calls.fileno()
        if device.is_ready:
            self._compile(fd, number, KICKS)
        else:
            self._machines.by_fd[fd] = -1

    def poke(self, number: int) -> None:
        """Have a guest look around at once: something that is not of this calendar has come in for it."""
        guest = self._machines.guests[number]
        if guest.call_fd >= 0 and not guest.over:
            guest.poked = 1
            guest.horizon_ns = max(guest.horizon_ns, self.now_ns)  # not before what everybody has come to

    def board(self, number: int) -> GuestBoard:
        """What serves the channel to a guest."""
        return GuestBoard(self.channels, number)

    def wall_ns(self) -> int:
        """The wall time that guests' clocks show."""
        return int(self._machines.calendar[0].tod_ns) + self.now_ns

    def await_start(self, deadline: Deadline, count: int) -> None:
        """Until so many guests have asked for their clocks; meanwhile they boot as far as they get without time."""
        while len(self._clocks) < count:
            deadline.check()
            if select.select([self._listener], [], [], min(0.1, deadline.left_s()))[0]:
                self._start(self._listener.accept()[0])
            self.play(self.now_ns)

    def play(self, until_ns: int) -> None:
        """Let time pass until `until_ns`; all guests then wait.

        GuestError when one says nothing for SILENT_MS; whose clock has ended is in `ended`.
        """
        while True:
            said = int(advance(self._shared[0].address, self._shared[1].address, until_ns))
            if said == DONE:
                self._hand_trace()
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
            elif said == ENDED:
                self.ended = [
                    n for k, n in enumerate(self.names) if k in self._clocks and self._machines.guests[k].over
                ]
            elif said >= 0:
                self._attend(said)

    def _attend(self, fd: int) -> None:
        unread = b""
        count = int(self._machines.calendar[0].unread_bytes)
        if self._machines.by_fd[fd] >= 0 and count:
            unread = self._machines.words.tobytes()[:count]
            self._machines.calendar[0].unread_bytes = 0
        self._python[fd](unread)

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
