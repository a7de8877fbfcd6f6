"""Carries out a sweep: every run that is not finished yet, a line in the sweep's file for each that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hostemu import __version__
from hostemu.base.appendable import Appendable, Entry, Kind, read_entries
from hostemu.base.errors import InputError, RecordError
from hostemu.measure.costs import Costs
from hostemu.runner.cluster import cluster
from hostemu.scenario import Scenario
from hostemu.sim import EngineName, choose_engine
from hostemu.sim.sweep import Axis, Point

SCHEMA = 1
KIND = Kind("sweep", "simulate --sweep")
FILE = "sweep.jsonl"

OnEvent = Callable[[dict[str, Any]], None]
Summary = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is swept.  base: the scenario before any axis.  runs: point → its scenario."""

    base: Scenario
    axes: tuple[Axis, ...]
    runs: Mapping[Point, Scenario]
    costs: Costs
    engine: EngineName = EngineName.AUTO

    def header(self) -> Entry:
        """The first line of the sweep's file; what must be the same when it is continued."""
        return {
            "entry": "sweep",
            "schema": SCHEMA,
            "scenario": self.base.name,
            "scenario_text": self.base.to_toml(),
            "costs": self.costs.figures_ns() | {"cores": self.costs.cores},
            "engine": self.engine.value,
            "version": __version__,
        }


@dataclass
class Swept:
    """What a sweep's file holds.  header: its first line.  summaries: of every finished run."""

    header: Entry
    summaries: dict[Point, Summary] = field(default_factory=dict)
    whole_bytes: int = 0


def read_sweep(path: Path) -> Swept:
    """What a file holds; InputError when there is none, RecordError when it is no sweep or damaged."""
    entries, whole_bytes = read_entries(path, KIND)
    if not entries or entries[0].get("entry") != "sweep" or entries[0].get("schema") != SCHEMA:
        raise RecordError(
            f"{path} is no sweep of a version that is understood", expected=f'"entry": "sweep", "schema": {SCHEMA}'
        )
    swept = Swept(entries[0], whole_bytes=whole_bytes)
    for number, entry in enumerate(entries[1:], start=2):
        try:
            point = Point(tuple((key, value) for key, value in entry["settings"].items()), entry["seed"])
            swept.summaries[point] = entry["summary"]
        except (KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{path}, line {number} is incomplete", found=f"{type(error).__name__}: {error}"
            ) from None
    return swept


def run_sweep(plan: Plan, path: Path, on_event: OnEvent, *, resume: bool, address: str | None = None) -> Swept:
    """Play every run that the file at `path` does not have; returns all that it then has.

    address: of a Dask cluster; None: this machine's cores.
    Raises, before anything is played, InputError for a sweep that is there already (without `resume`) or is another
    one, and for runs that the wanted engine cannot play.
    """
    for scenario in plan.runs.values():
        choose_engine(plan.engine, scenario, plan.costs, traced=False)
    swept = Swept(plan.header())

    def check() -> int:
        nonlocal swept
        swept = read_sweep(path)
        _require_same(path, swept.header, plan.header())
        return swept.whole_bytes

    with Appendable.open(path, KIND, resume=resume, check=check) as file:
        if file.is_new:
            file.append(swept.header)
            file.settle()
        left = {point: plan.runs[point].to_toml() for point in plan.runs if point not in swept.summaries}
        total, done = len(plan.runs), len(plan.runs) - len(left)
        on_event({"phase": "sweep", "done": done, "total": total})
        if left:
            with cluster(address, len(left)) as computing:
                for point, summary in computing.compute(left, plan.costs, plan.engine.value):
                    file.append(_entry(point, summary))
                    swept.summaries[point] = summary
                    done += 1
                    on_event({"phase": "sweep", "done": done, "total": total})
    return swept


def _entry(point: Point, summary: Summary) -> Entry:
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"entry": "run", "settings": dict(point.settings), "seed": point.seed, "at": at, "summary": summary}


def _require_same(path: Path, old: Entry, new: Entry) -> None:
    """InputError when a sweep is another one than the file's."""
    different = [key for key in new if old.get(key) != new[key]]
    if different:
        raise InputError(
            f"{path} is of another sweep",
            expected="the same scenario, costs, engine and version",
            found=f"another {', '.join(different)}",
            hint="name another place with --output",
        )


def finished(plan: Plan, swept: Swept) -> dict[tuple[tuple[str, str], ...], dict[int, Summary]]:
    """The plan's finished runs: settings → seed → summary."""
    result: dict[tuple[tuple[str, str], ...], dict[int, Summary]] = {}
    for point in plan.runs:
        if point in swept.summaries:
            result.setdefault(point.settings, {})[point.seed] = swept.summaries[point]
    return result
