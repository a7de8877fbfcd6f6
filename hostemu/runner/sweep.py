"""Carries out a sweep: every run that is not finished yet, a line in the sweep's file for each that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hostemu import __version__
from hostemu.base.appendable import Entry, Kind
from hostemu.base.ledger import Content, Form
from hostemu.measure.costs import Costs
from hostemu.runner.cluster import cluster
from hostemu.scenario import Scenario
from hostemu.sim import EngineName, choose_engine
from hostemu.sim.sweep import Axis, Point, Task

FILE = "sweep.jsonl"

OnEvent = Callable[[dict[str, Any]], None]
Summary = dict[str, Any]


@dataclass(frozen=True)
class Run:
    """What is played at a point."""

    scenario: Scenario
    costs: Costs


@dataclass(frozen=True)
class Plan:
    """What is swept.  base: the scenario before any axis.  costs: by backend, before any axis."""

    base: Scenario
    axes: tuple[Axis, ...]
    runs: Mapping[Point, Run]
    costs: Mapping[str, Costs]
    engine: EngineName = EngineName.AUTO

    def header(self) -> Entry:
        """The first line of the sweep's file; what must be the same when it is continued."""
        facts = {
            "scenario": self.base.name,
            "scenario_text": self.base.to_toml(),
            "costs": {backend: costs.figures() for backend, costs in sorted(self.costs.items())},
            "engine": self.engine.value,
            "version": __version__,
        }
        return FORM.header(facts)


def _parse(entry: Entry) -> tuple[Point, Summary]:
    return Point(tuple(entry["settings"].items()), entry["seed"]), entry["summary"]


FORM = Form(Kind("sweep", "simulate --sweep"), 1, "scenario, costs, engine and version", _parse)

Swept = Content[Point, Summary]
"""What a sweep's file holds: the summary of every finished run."""


def run_sweep(plan: Plan, path: Path, on_event: OnEvent, *, resume: bool, address: str | None = None) -> Swept:
    """Play every run that the file at `path` does not have; returns all that it then has.

    address: of a Dask cluster; None: this machine's cores.
    Raises, before anything is played, InputError for a sweep that is there already (without `resume`) or is another
    one, and for runs that the wanted engine cannot play.
    """
    for run in plan.runs.values():
        choose_engine(plan.engine, run.scenario, run.costs, traced=False)
    with FORM.opened(path, plan.header(), resume=resume) as (file, swept):
        left = {
            point: Task(run.scenario.to_toml(), run.costs, plan.engine.value)
            for point, run in plan.runs.items()
            if point not in swept.runs
        }
        total, done = len(plan.runs), len(plan.runs) - len(left)
        on_event({"phase": "sweep", "done": done, "total": total})
        if left:
            with cluster(address, len(left)) as computing:
                for point, summary in computing.compute(left):
                    file.append(_entry(point, summary))
                    swept.runs[point] = summary
                    done += 1
                    on_event({"phase": "sweep", "done": done, "total": total})
    return swept


def _entry(point: Point, summary: Summary) -> Entry:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"entry": "run", "settings": dict(point.settings), "seed": point.seed, "at": at, "summary": summary}


def finished(plan: Plan, swept: Swept) -> dict[tuple[tuple[str, str], ...], dict[int, Summary]]:
    """The plan's finished runs: settings → seed → summary."""
    result: dict[tuple[tuple[str, str], ...], dict[int, Summary]] = {}
    for point in plan.runs:
        if point in swept.runs:
            result.setdefault(point.settings, {})[point.seed] = swept.runs[point]
    return result
