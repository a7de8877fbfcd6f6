"""Runs of workloads, from inside the lab: guests around a router, one program in each, in real or in virtual time."""

from __future__ import annotations

import os
import selectors
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from hostemu import __version__
from hostemu.base.deadline import Deadline
from hostemu.base.units import NS_PER_S
from hostemu.gine import Engine, Network, realtime_priority
from hostemu.guests import backend as find_backend
from hostemu.guests.api import Guest, GuestProcess, GuestSpec
from hostemu.guests.uml_virtual import VirtualUmlGuest
from hostemu.lab import NetNamespace
from hostemu.measure.costs import Charge
from hostemu.measure.host import LoadMonitor
from hostemu.records.workload import NAME, ProgramRecord, WorkloadRecord, write_workload
from hostemu.runner.fabric import NIC, SYSCTLS, nic_of, star_of
from hostemu.runner.layout import HostPlan, host_plan
from hostemu.runner.starting import READY_S, GuestPlan, start_guests
from hostemu.runner.verdict import Evidence, judge
from hostemu.runner.virtual import FOLDER, boot_virtual
from hostemu.scenario.workload import FOLDER as FILES
from hostemu.scenario.workload import NUMBER, OWN, Group, Workload, filled, load_workload
from hostemu.sim.virtual import Calendar
from hostemu.sim.virtual.calendar import port_descriptors

Emit = Callable[[dict[str, Any]], None]

READ_BYTES = 1 << 16
STEP_S = 0.05
CHECKPOINT_S = 5.0


@dataclass(frozen=True)
class WorkloadOrder:
    """What the process outside the lab asks for.

    folder: the run's.  files: the workload's.  mode: as in records.  charge: as in collect.Order.
    """

    folder: Path
    files: Path
    backend: str
    kernel: str | None
    mode: str
    started_at: str
    host: dict[str, Any]
    charge: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkloadHost:
    """Host `number` of a group."""

    plan: HostPlan
    group_name: str
    group: Group
    number: int

    @property
    def name(self) -> str:
        """Such as client-3."""
        return self.plan.name

    @property
    def starts_ns(self) -> int:
        """When its program starts."""
        return self.group.starts_ns + self.number * self.group.stagger_ns


def hosts_of(workload: Workload) -> list[WorkloadHost]:
    """All hosts, group by group, each with addresses of its own."""
    found: list[WorkloadHost] = []
    for name, group in workload.groups.items():
        for number in range(group.count):
            own = f"{name}-{number}"
            found.append(WorkloadHost(host_plan(len(found), own, own), name, group, number))
    return found


def network_of(workload: Workload, fd_of: Callable[[str], int]) -> Network:
    """A router with a line to each host; forward is towards the router."""
    return star_of(workload.seed, ((host.plan, host.group.line) for host in hosts_of(workload)), fd_of)


def network_without_descriptors(workload: Workload) -> Network:
    """The same for a calendar."""
    names = [host.name for host in hosts_of(workload)]
    return network_of(workload, dict(zip(names, port_descriptors(len(names)), strict=True)).__getitem__)


def play(argument: dict[str, Any], emit: Emit) -> None:
    """Play the workload in `folder` and leave its record there."""
    paths = {name: Path(argument[name]) for name in ("folder", "files")}
    order = WorkloadOrder(**{**argument, **paths})
    workload = load_workload(str(order.folder / "workload.toml"))
    kind = VirtualWorkload if order.mode == "virtual" else RealWorkload
    with ExitStack() as stack:
        kind(order, workload, stack, emit).play()


class Running:
    """A program that has been started; what it says goes to a file, and as numbers into its record."""

    def __init__(self, process: GuestProcess, record: ProgramRecord, group: Group, output: BinaryIO) -> None:
        self.process = process
        self.record = record
        self.group = group
        self._output = output
        self._partial = b""

    def read(self) -> bool:
        """Take what has come in; False at the end."""
        data = os.read(self.process.stdout.fileno(), READ_BYTES)
        self._output.write(data)
        self._output.flush()
        *lines, self._partial = (self._partial + data).split(b"\n")
        if self.group.values == "stdout":
            self.record.values += map(float, filter(None, (line.strip() for line in lines)))
        return bool(data)


class RealWorkload:
    """One run; `stack` owns everything that it starts."""

    def __init__(self, order: WorkloadOrder, workload: Workload, stack: ExitStack, emit: Emit) -> None:
        self.order = order
        self.workload = workload
        self.hosts = hosts_of(workload)
        self._stack = stack
        self._emit = emit
        self._guests: Mapping[str, Guest] = {}
        self._selector = stack.enter_context(selectors.DefaultSelector())
        self._waiting = sorted(self.hosts, key=lambda host: (host.starts_ns, host.plan.address))
        self._running: set[Running] = set()
        self._start_ns = 0
        self._written_s = time.monotonic()
        self._programs = order.folder / "programs"
        self._programs.mkdir(exist_ok=True)
        self.record = WorkloadRecord(
            name=workload.name,
            mode=order.mode,
            backend=order.backend,
            seed=workload.seed,
            unit=workload.unit,
            workload=(order.folder / "workload.toml").read_text(),
            version=__version__,
            started_at=order.started_at,
            host=order.host,
            charge=order.charge,
        )

    # What differs between real and virtual time.

    def _prepare(self) -> None:
        """Start all guests, and what is between them."""
        backend = find_backend(self.order.backend)
        plans = {name: GuestPlan(backend, spec) for name, spec in self._specs().items()}
        total = len(plans)

        def on_started(number: int) -> None:
            self._emit({"phase": "guests", "done": number, "total": total})

        self._guests = start_guests(plans, self.order.folder / "guests", self._stack, on_started)
        self._engine = Engine(
            network_of(self.workload, lambda name: self._guests[name].nic_fd(NIC)),
            realtime_priority=realtime_priority(),
        )
        self._stack.enter_context(self._engine)
        self._monitor = self._stack.enter_context(LoadMonitor())

    def _now_ns(self) -> int:
        return time.monotonic_ns()

    def _pass(self, at_most_ns: int) -> list[Running]:
        """Let time pass; the programs that have said something."""
        self._engine.check()
        found = self._selector.select(max(0, at_most_ns) / NS_PER_S)
        return [key.data for key, _ in found]

    def _finish(self) -> None:
        self._engine.stop()
        health = asdict(self._engine.health())
        evidence = Evidence(health, self._monitor.summary(), {}, self.workload.deadline_ns)
        self.record.verdict += [f"emulator counters: {text}" for text in self._engine.imbalances()] + judge(evidence)
        self.record.lines = [asdict(line) for line in self._engine.line_counters()]

    # What does not.

    def play(self) -> None:
        """Everything from the first guest to the finished record."""
        self._prepare()
        self._start_ns = self._now_ns()
        total = sum(host.group.ends for host in self.hosts)
        while (done := self._done()) < total:
            self._emit({"phase": "run", "done": done, "total": total})
            now_ns = self._now_ns() - self._start_ns
            if now_ns >= self.workload.deadline_ns:
                break
            self._start_due(now_ns)
            next_ns = min([self.workload.deadline_ns, *(host.starts_ns for host in self._waiting[:1])])
            for running in self._pass(min(next_ns - now_ns, round(STEP_S * NS_PER_S))):
                self._hear(running)
            self._checkpoint()
        self._finish()
        self.record.conclude(host.name for host in self.hosts if host.group.ends)
        self._write()

    def _specs(self) -> dict[str, GuestSpec]:
        kernel = None if self.order.kernel is None else Path(self.order.kernel)
        return {
            host.name: GuestSpec(
                host.name,
                (replace(nic_of(host.plan), segmentation_offload=host.group.segmentation_offload),),
                memory_bytes=host.group.memory_bytes,
                sysctls=SYSCTLS,
                kernel=kernel,
                shares=self.order.folder.resolve(),
            )
            for host in self.hosts
        }

    def _start_due(self, now_ns: int) -> None:
        while self._waiting and self._waiting[0].starts_ns <= now_ns:
            self._start(self._waiting.pop(0), now_ns)

    def _start(self, host: WorkloadHost, now_ns: int) -> None:
        own = self._programs / host.name
        own.mkdir(exist_ok=True)
        places = {OWN: own, FILES: self.order.files, NUMBER: host.number}
        places |= {other.group_name: other.plan.address for other in reversed(self.hosts)}
        argv = [filled(word, places) for word in host.group.command]
        log = self._programs / f"{host.name}.err"
        process = self._stack.enter_context(self._guests[host.name].spawn(argv, log=log))
        record = ProgramRecord(host.name, host.group_name, started_ns=now_ns)
        self.record.programs.append(record)
        output = self._stack.enter_context((self._programs / f"{host.name}.out").open("wb"))
        running = Running(process, record, host.group, output)
        self._running.add(running)
        self._selector.register(process.stdout.fileno(), selectors.EVENT_READ, running)

    def _hear(self, running: Running) -> None:
        try:
            goes_on = running.read()
        except ValueError as error:
            self.record.verdict.append(f"{running.record.host} said something that is no number: {error}")
            goes_on = False
        if goes_on:
            return
        self._selector.unregister(running.process.stdout.fileno())
        self._running.discard(running)
        running.record.exit_status = running.process.wait(Deadline.after(READY_S, "the program's exit status"))
        running.record.ended_ns = self._now_ns() - self._start_ns

    def _done(self) -> int:
        return sum(row.ended_ns >= 0 and self.workload.groups[row.group].ends for row in self.record.programs)

    def _checkpoint(self) -> None:
        if time.monotonic() - self._written_s >= CHECKPOINT_S:
            self._write()

    def _write(self) -> None:
        write_workload(self.record, self.order.folder / NAME)
        self._written_s = time.monotonic()


class VirtualWorkload(RealWorkload):
    """The same in virtual time, on kernels whose clocks belong to a calendar."""

    def _prepare(self) -> None:
        network = network_without_descriptors(self.workload)
        FOLDER.mkdir()
        macs = [host.plan.mac for host in self.hosts]
        self._calendar = self._stack.enter_context(Calendar(network, macs, FOLDER))
        site = self._stack.enter_context(NetNamespace())
        guests: dict[str, VirtualUmlGuest] = {}
        for number, (name, spec) in enumerate(self._specs().items()):
            folder = self.order.folder / "guests" / name
            seed = f"{self.workload.seed} {name}"
            guests[name] = VirtualUmlGuest(spec, folder, self._calendar, number, seed, site)
        boot_virtual(self._calendar, guests, self._stack, self._emit)
        self._calendar.charge(Charge(**self.order.charge))
        self._guests = guests

    def _now_ns(self) -> int:
        return self._calendar.now_ns

    def _pass(self, at_most_ns: int) -> list[Running]:
        self._calendar.play(self._calendar.now_ns + max(0, at_most_ns))
        self._calendar.channels.serve()
        found = sorted(self._selector.select(0), key=lambda key: key[0].fd)
        return [key.data for key, _ in found]

    def _finish(self) -> None:
        self.record.verdict += [f"emulator counters: {text}" for text in self._calendar.imbalances()]
        self.record.lines = [asdict(line) for line in self._calendar.line_counters()]
        self.record.charged_ns = {name: self._calendar.charged_ns(number) for number, name in enumerate(self._guests)}
