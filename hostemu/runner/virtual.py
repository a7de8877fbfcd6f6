"""A run in virtual time, from inside the lab: every host is a real kernel, and no clock but the calendar's counts.

boot all guests → start programs → give them the starting instant → let time pass until the center has every terminal

Nothing here depends on how long anything takes, so that the same seed gives the same frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from hostemu.base.deadline import Deadline
from hostemu.base.errors import InputError, RunError
from hostemu.guests import backend as find_backend
from hostemu.guests.api import Guest, GuestSpec
from hostemu.guests.booting import LAB_FOLDER
from hostemu.guests.uml_virtual import VirtualUmlGuest
from hostemu.lab import NetNamespace
from hostemu.measure.costs import Charge
from hostemu.records import RecordWriter
from hostemu.runner.collect import Order
from hostemu.runner.fabric import Means, kernel_guests, virtual_network
from hostemu.runner.layout import plan_layout
from hostemu.runner.programs import ProgramGroup
from hostemu.runner.real import CHECKPOINT_S, COLLECT_S, GRACE_S, Emit, RealRun, clock_offsets_ns, lead_s
from hostemu.runner.simulated import SimulatedGuests
from hostemu.runner.starting import READY_S
from hostemu.scenario import Scenario, load_scenario
from hostemu.sim.virtual import Calendar
from hostemu.sim.virtual.calendar import lookahead_ns

S = 1_000_000_000
BACKEND = "uml"
FOLDER = LAB_FOLDER / "calendar"
STEP_S = 0.2
QUIET = {"saturated_share": 0.0, "windows": 0, "steal_fraction": 0.0, "swapped_pages": 0}
"""How busy this machine is does not matter here."""


def require_virtual(scenario: Scenario) -> None:
    """InputError when the scenario cannot be played in virtual time."""
    hosts = scenario.hosts
    for key, value, known in (("wiring", hosts.wiring, ("gine", "segment")), ("center", hosts.center, ("guest",))):
        if value not in known:
            raise InputError(
                f"hosts.{key} = {value!r} cannot be played in virtual time",
                expected=" or ".join(map(repr, known)),
                found=repr(value),
            )
    layout = plan_layout(scenario)
    with SimulatedGuests(layout, scenario) as simulated:
        lookahead_ns(virtual_network(layout, scenario, simulated))


def play(argument: dict[str, Any], emit: Emit) -> None:
    """Play the scenario in `folder` and leave its record there."""
    order = Order(**{**argument, "folder": Path(argument["folder"])})
    scenario = load_scenario(str(order.folder / "scenario.toml"), time_scale=order.time_scale)
    with ExitStack() as stack:
        VirtualRun(order, scenario, stack, emit).play()


class VirtualRun(RealRun):
    """One run; `stack` owns everything that it starts."""

    def play(self) -> None:
        """Everything from the first guest to the finished record."""
        simulated = self._stack.enter_context(SimulatedGuests(self.layout, self.scenario))
        specs = self._specs()
        calendar = self._calendar(simulated, specs)
        guests = self._boot(calendar, specs)
        group = self._stack.enter_context(ProgramGroup(self.order.folder / "programs", partial(_pass, calendar)))
        center = self._programs(group, guests)
        writer = RecordWriter(self.order.folder / "record.h5", CHECKPOINT_S)
        offsets_ns = clock_offsets_ns(guests)
        calendar.charge(Charge(**self.order.charge))
        start_ns = calendar.now_ns + round(lead_s(len(group.programs)) * S)
        simulated.start(start_ns)
        group.send_start(start_ns, offsets_ns)
        end_ns = calendar.now_ns + self.scenario.retrieval.deadline_ns + round(GRACE_S * S)
        while "done" not in center.events:
            if calendar.now_ns >= end_ns:
                raise RunError("the center does not account for every terminal", expected="an end by its deadline")
            for program, event in group.poll(STEP_S):
                if program is center and event["event"] == "progress":
                    self._note(event)
            writer.checkpoint(self._record)
        self._outputs.load = QUIET
        self._outputs.usage = {
            name: replace(guest.usage(), cpu_s=calendar.charged_ns(number) / S, rss_bytes=0)
            for number, (name, guest) in enumerate(guests.items())
        }
        results = group.collect("result", Deadline.after(COLLECT_S, "the programs' results"))
        self._outputs.results = {**simulated.results(calendar.now_ns), **results}
        self._outputs.is_store_busy = False
        self._outputs.health = calendar.health()
        self._outputs.lines = calendar.line_counters()
        self._outputs.nodes = calendar.node_counters()
        self._outputs.problems += [f"emulator counters: {text}" for text in calendar.imbalances()]
        self._outputs.done = center.events["done"]
        writer.finish(self._record())

    def is_center_remote(self) -> bool:
        return True

    def _specs(self) -> dict[str, GuestSpec]:
        kernel = None if self.order.kernel is None else Path(self.order.kernel)
        return kernel_guests(self.layout, self.scenario, Means(find_backend(BACKEND), self.order.folder, kernel))

    def _calendar(self, simulated: SimulatedGuests, specs: Mapping[str, GuestSpec]) -> Calendar:
        network = virtual_network(self.layout, self.scenario, simulated)
        macs = [nic.mac for spec in specs.values() for nic in spec.nics]
        guests = [(name, len(spec.nics)) for name, spec in specs.items()]
        FOLDER.mkdir()
        trace = self._stack.enter_context((self.order.folder / "frames.bin").open("wb"))

        def write(rows: Any) -> None:
            np.asarray(rows).tofile(trace)

        return self._stack.enter_context(Calendar(network, macs, FOLDER, guests=guests, trace=write))

    def _boot(self, calendar: Calendar, specs: Mapping[str, GuestSpec]) -> Mapping[str, Guest]:
        site = self._stack.enter_context(NetNamespace())
        guests: dict[str, VirtualUmlGuest] = {}
        for number, (name, spec) in enumerate(specs.items()):
            seed = f"{self.scenario.seed} {name}"
            folder = self.order.folder / "guests" / name
            guests[name] = VirtualUmlGuest(spec, folder, calendar, number, seed, site)
        boot_virtual(calendar, guests, self._stack, self._emit)
        return guests


def boot_virtual(calendar: Calendar, guests: Mapping[str, VirtualUmlGuest], stack: ExitStack, emit: Emit) -> None:
    """Start all guests of a calendar, until each of them answers; `stack` ends them."""
    for name, guest in guests.items():
        stack.callback(guest.kill)
        guest.start(Deadline.after(READY_S, f"guest {name} to start"))

    def check() -> None:
        for guest in guests.values():
            if guest.virtualiser.poll() is not None:
                guest.wait_ready(Deadline.after(READY_S, "why a guest has ended"))  # raises, and says why

    calendar.await_start(Deadline.after(READY_S, "all guests to start"), len(guests), check)
    for number, (name, guest) in enumerate(guests.items()):
        emit({"phase": "guests", "done": number, "total": len(guests)})
        guest.wait_ready(Deadline.after(READY_S, f"an answer from guest {name}"))
    emit({"phase": "guests", "done": len(guests), "total": len(guests)})


def _pass(calendar: Calendar, seconds: float) -> None:
    """Let so much time pass, and hear what programs have said."""
    calendar.play(calendar.now_ns + round(seconds * S))
    calendar.channels.serve()
