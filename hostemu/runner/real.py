"""A real run, from inside the lab: guests, network, programs, record.

start guests → build the network → start the emulator → start programs → give them the starting instant
→ watch until the center has every terminal → stop → judge → write the record
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.gine import Engine, Network, realtime_priority
from hostemu.guests import backend as find_backend
from hostemu.guests.api import Guest
from hostemu.measure.host import LoadMonitor
from hostemu.records import RecordWriter, RunRecord
from hostemu.runner import configs
from hostemu.runner.collect import Order, Outputs, build_record
from hostemu.runner.fabric import Fabric, Means, plan_fabric
from hostemu.runner.guest_cpu import GuestMeter
from hostemu.runner.layout import Layout, plan_layout
from hostemu.runner.programs import Event, Program, ProgramGroup
from hostemu.runner.simulated import SimulatedGuests
from hostemu.runner.starting import start_guests
from hostemu.runner.using import UseMeter
from hostemu.scenario import Scenario, load_scenario

Emit = Callable[[dict[str, Any]], None]

PROGRAMS_READY_S = 120.0
LEAD_S = 0.5
LEAD_PER_PROGRAM_S = 0.002
"""From the command to start until time 0: every program must have read it by then."""

GRACE_S = 30.0
"""How long after the scenario's own deadline the center may take to say that it is done."""

COLLECT_S = 20.0
CHECKPOINT_S = 5.0


def play(argument: dict[str, Any], emit: Emit) -> None:
    """Play the scenario in `folder` and leave its record there."""
    order = Order(**{**argument, "folder": Path(argument["folder"])})
    path = str(order.folder / "scenario.toml")
    scenario = load_scenario(path, time_scale=order.time_scale)
    with ExitStack() as stack:
        RealRun(order, scenario, stack, emit).play()


def lead_s(programs: int) -> float:
    """How long before time 0 so many programs are told of it."""
    return LEAD_S + LEAD_PER_PROGRAM_S * programs


def plays_center(scenario: Scenario, backend: str) -> bool:
    """Whether a kernel of this backend's, and not this one, runs the center."""
    return scenario.hosts.center == "guest" and find_backend(backend).has_own_kernel


def clock_offsets_ns(guests: Mapping[str, Guest]) -> dict[str, int]:
    """How far the monotonic clock of each guest is ahead of ours."""
    return {name: guest.clock_offset_ns() for name, guest in guests.items()}


class RealRun:
    """One run; `stack` owns everything that it starts."""

    def __init__(self, order: Order, scenario: Scenario, stack: ExitStack, emit: Emit) -> None:
        self.order = order
        self.scenario = scenario
        self.layout: Layout = plan_layout(scenario)
        self._stack = stack
        self._emit = emit
        self._outputs = Outputs()
        self._use = UseMeter(self.layout, order.began_ns)

    def play(self) -> None:
        """Everything from the first guest to the finished record."""
        fabric = self._fabric()
        guests = self._guests(fabric)
        engine = self._engine(fabric.network(guests))
        group = self._stack.enter_context(ProgramGroup(self.order.folder / "programs"))
        center = self._programs(group, guests)
        monitor = self._stack.enter_context(LoadMonitor())
        writer = RecordWriter(self.order.folder / "record.h5", CHECKPOINT_S)
        offsets_ns = clock_offsets_ns(guests)
        meter = GuestMeter(guests) if self.order.settle_s else None
        self._use.settle(guests, self.order.settle_s)
        if meter is not None:
            meter.settled()
        self._start(group, offsets_ns, fabric.simulated)
        self._use.started()
        with self._use.watching():
            self._watch(group, center, engine, writer)
        self._outputs.load = monitor.summary()
        self._outputs.used = self._use.finished(self.order.folder)
        self._outputs.guest_cpu = {} if meter is None else meter.used()
        self._outputs.clock_drift_ns = {
            name: offset_ns - offsets_ns[name] for name, offset_ns in clock_offsets_ns(guests).items()
        }
        self._outputs.usage = {name: guest.usage() for name, guest in guests.items()}
        results = group.collect("result", Deadline.after(COLLECT_S, "the programs' results"))
        self._outputs.is_store_busy = False
        self._stop(engine)
        self._outputs.results = {**fabric.simulated.results(time.monotonic_ns()), **results}
        self._outputs.done = center.events["done"]
        writer.finish(self._record())

    def _engine(self, network: Network) -> Engine:
        """The emulator, running; with a real-time priority where this user may have one."""
        self._emit({"phase": "emulator", "done": 0, "total": 1, "note": "compiled once, then kept"})
        engine = Engine(network, realtime_priority=realtime_priority())
        self._stack.enter_context(engine)
        self._emit({"phase": "emulator", "done": 1, "total": 1})
        return engine

    def _record(self) -> RunRecord:
        return build_record(self.order, self.scenario, self.layout, self._outputs)

    def _stop(self, engine: Engine) -> None:
        """Stop the emulator; counters that do not add up make the run invalid."""
        engine.stop()
        self._outputs.health = engine.health()
        self._outputs.lines = engine.line_counters()
        self._outputs.nodes = engine.node_counters()
        self._outputs.problems += [f"emulator counters: {text}" for text in engine.imbalances()]

    def _fabric(self) -> Fabric:
        kernel = None if self.order.kernel is None else Path(self.order.kernel)
        means = Means(find_backend(self.order.backend), self.order.folder, kernel)
        return plan_fabric(self.layout, self.scenario, means, self._stack)

    def _guests(self, fabric: Fabric) -> dict[str, Guest]:
        """Every host as a guest.  Those with a kernel of their own boot a few at a time."""
        total = len(fabric.plans)

        def on_started(number: int) -> None:
            self._emit({"phase": "guests", "done": number, "total": total})

        on_started(0)
        return start_guests(fabric.plans, self.order.folder / "guests", self._stack, on_started)

    def _programs(self, group: ProgramGroup, guests: Mapping[str, Guest]) -> Program:
        """Start every program and wait until each says that it is ready; returns the center."""
        self._outputs.is_store_busy = is_remote = self.is_center_remote()
        plans = list(configs.program_plans(self.scenario, self.layout, self.order.folder, is_center_remote=is_remote))
        for number, plan in enumerate(plans):
            group.start(plan.name, guests[plan.host], plan.module, plan.config.to_json())
            self._emit({"phase": "programs", "done": number, "total": len(plans)})
        group.wait_for("ready", group.programs, Deadline.after(PROGRAMS_READY_S, "the programs to be ready"))
        self._emit({"phase": "programs", "done": len(plans), "total": len(plans)})
        return next(program for program in group.programs if program.name == "center")

    def is_center_remote(self) -> bool:
        """Whether another kernel than this one runs the center."""
        return plays_center(self.scenario, self.order.backend)

    def _start(self, group: ProgramGroup, offsets_ns: Mapping[str, int], simulated: SimulatedGuests) -> None:
        at_ns = time.monotonic_ns() + round(lead_s(len(group.programs)) * 1e9)
        simulated.start(at_ns)
        group.send_start(at_ns, offsets_ns)

    def _watch(self, group: ProgramGroup, center: Program, engine: Engine, writer: RecordWriter) -> None:
        limit_s = self.scenario.retrieval.deadline_ns / 1e9 + GRACE_S
        deadline = Deadline.after(limit_s, "the center to account for every terminal")
        while "done" not in center.events:
            deadline.check()
            engine.check()
            for program, event in group.poll(0.2):
                if program is center and event["event"] == "progress":
                    self._note(event)
            writer.checkpoint(self._record)

    def _note(self, event: Event) -> None:
        self._outputs.progress.append((event["t_ns"], event["retrieved"], event["failed"]))
        self._emit(
            {
                "phase": "run",
                "done": event["retrieved"] + event["failed"],
                "total": event["total"],
                "note": f"{event['failed']} failed",
            }
        )
