"""`simulate`: a scenario in, a run record out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import Any, TextIO

import numpy as np
import simpy

from hostemu import __version__
from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.protocol.reasons import Outcome
from hostemu.records import HOST, LINE_COUNTERS, PROGRESS, REFUSAL, TERMINAL, RunRecord
from hostemu.scenario import Scenario
from hostemu.sim.world import World

Row = tuple[Any, ...]


def simulate(
    scenario: Scenario,
    *,
    seed: int | None = None,
    costs: Costs = NO_COSTS,
    trace: TextIO | None = None,
    on_progress: Callable[[int, int, int], None] | None = None,
) -> RunRecord:
    """Play the scenario in simulated time.

    seed: of all random streams; the scenario's own when None.  costs: CPU time of the programs' actions.
    trace: receives a line "time_ns place what" per frame and event.
    on_progress: called with (time in ns, retrieved, failed), at most 5 times a simulated second.

    The result is a function of these arguments alone: the record has no date and no host facts; the caller adds them.
    """
    world = World(scenario, scenario.seed if seed is None else seed, costs, trace, on_progress)
    world.play()
    return RunRecord(
        mode="simulated",
        backend="simulated",
        engine="simpy",
        scenario_name=scenario.name,
        scenario_text=scenario.to_toml(),
        seed=world.plan.seed,
        version=__version__,
        complete=True,
        makespan_ns=world.center.finished_at_ns,
        terminals=np.array(list(_terminals(world)), TERMINAL),
        lines=np.array(list(_lines(world)), LINE_COUNTERS),
        hosts=np.array(list(_hosts(world)), HOST),
        refusals=np.array(list(_refusals(world)), REFUSAL),
        progress=np.array(world.center.progress, PROGRESS),
        extra=_extra(world, costs),
    )


def _terminals(world: World) -> Iterator[Row]:
    for device_id, account in sorted(world.center.accounts.items()):
        report = account.report
        at_ns = account.at_ns if report.outcome is Outcome.RETRIEVED else -1
        yield device_id, report.outcome, report.reason, report.attempts, at_ns, report.exchange_ns


def _lines(world: World) -> Iterator[Row]:
    for name, direction, line in world.lines():
        c = line.counters()
        frames = (c.frames_in, c.frames_out, c.frames_lost, c.frames_dropped, c.frames_in_flight)
        octets = (c.bytes_in, c.bytes_out, c.bytes_lost, c.bytes_dropped, c.bytes_in_flight)
        yield name, direction, *frames, *octets


def _hosts(world: World) -> Iterator[Row]:
    programs = {"isp": [program.name for program in world.isp.programs]}
    programs |= {farm.kernel.host.name: [farm.name] for farm in world.farms}
    for host in world.hosts:
        kind = host.name if host.name in ("center", "isp") else "terminals"
        busy_ns = sum(world.threads[name].busy_ns for name in programs.get(host.name, [host.name]))
        traffic = (host.rx_frames, host.tx_frames, host.rx_bytes, host.tx_bytes)
        yield host.name, kind, busy_ns / 1e9, 0, *traffic


def _refusals(world: World) -> Iterator[Row]:
    counts = [(program.name, program.refusals) for program in world.isp.programs]
    counts += [(farm.name, farm.refusals) for farm in world.farms]
    for name, refusals in counts:
        for reason, number in sorted(refusals.items()):
            yield name, reason, number


def _extra(world: World, costs: Costs) -> dict[str, Any]:
    attempts: dict[str, int] = {}
    for program in world.isp.programs:
        for reason, number in sorted(program.attempts_by_reason.items()):
            attempts[reason.name.lower()] = attempts.get(reason.name.lower(), 0) + number
    return {
        "attempts_by_reason": attempts,
        "costs": asdict(costs),
        "router_cpu_s": world.threads["router"].busy_ns / 1e9,
        "router_dropped": world.router_dropped,
        "nics_dropped": world.nics_dropped,
        "queue_entries": world.clock.calls,
        "simpy": simpy.__version__,
    }
