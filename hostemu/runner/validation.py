"""Validation: costs fitted to small real runs, larger runs predicted by the twin, and played for real to compare.

Predictions use seeds of their own: what a real run of tomorrow will draw is not known either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hostemu import __version__
from hostemu.base.appendable import Entry, Kind
from hostemu.base.errors import InputError, RunError
from hostemu.base.ledger import Form
from hostemu.measure.costs import Costs
from hostemu.records import RunRecord, read_record
from hostemu.runner.cluster import cluster
from hostemu.runner.play import play_real
from hostemu.scenario import Scenario
from hostemu.sim import EngineName
from hostemu.sim.sweep import Point, Task

FILE = "validation.jsonl"
NOT_KEPT = ("scenario_text", "host")
FIRST_PREDICTED_SEED = 1_000_000
"""Far from the seeds of real runs."""

OnEvent = Callable[[dict[str, Any]], None]
Summary = dict[str, Any]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """base: the scenario; its number of terminals does not matter.

    fitted, predicted: numbers of terminals.  seeds: real runs of each.  predictions: simulated runs of each.
    """

    base: Scenario
    fitted: tuple[int, ...]
    predicted: tuple[int, ...]
    backend: str
    seeds: int
    predictions: int
    time_scale: float

    def scenario(self, terminals: int, seed: int) -> Scenario:
        """The scenario with so many terminals."""
        fleet = self.base.fleet.model_copy(update={"terminals": terminals})
        return self.base.model_copy(update={"fleet": fleet, "seed": seed})

    def trials(self) -> list[tuple[int, int]]:
        """(terminals, seed) of every real run: seed by seed, the smallest first."""
        sizes = sorted({*self.fitted, *self.predicted})
        return [(size, self.base.seed + n) for n in range(self.seeds) for size in sizes]

    def header(self) -> Entry:
        """The first line of the file: what must be the same when it is continued."""
        facts = {
            "scenario_text": self.base.to_toml(),
            "backend": self.backend,
            "time_scale": self.time_scale,
            "version": __version__,
        }
        return FORM.header(facts)


@dataclass(frozen=True)
class Trial:
    """A real run.  actions: what its programs did, and what CPU time that took, by name."""

    terminals: int
    seed: int
    summary: Summary
    actions: Mapping[str, float]

    @property
    def is_valid(self) -> bool:
        """Whether the machine kept up."""
        return self.summary["verdict"] == "valid" and bool(self.summary["complete"])


def _parse(entry: Entry) -> tuple[tuple[int, int], Trial]:
    trial = Trial(entry["terminals"], entry["seed"], entry["summary"], entry["actions"])
    return (trial.terminals, trial.seed), trial


FORM = Form(Kind("validation", "validate"), 1, "scenario, backend, time scale and version", _parse)


def check_plan(plan: Plan) -> None:
    """InputError for a plan that predicts nothing, or what it was fitted to."""
    both = sorted({*plan.fitted} & {*plan.predicted})
    if not plan.fitted or not plan.predicted or both:
        raise InputError(
            "a validation needs runs to fit and others to predict",
            expected="numbers of terminals for --fit, and others for --predict",
            found=f"fit {list(plan.fitted)}, predict {list(plan.predicted)}",
        )


def run_trials(plan: Plan, folder: Path, on_event: OnEvent, *, resume: bool, tries: int = 1) -> list[Trial]:
    """Play every real run of which the folder's file has no valid one; returns all of the plan's.

    tries: how often each of them is played at most, until it is valid; the last one counts.
    InputError for a validation that is there already (without `resume`) or is another one.
    """
    check_plan(plan)
    with FORM.opened(folder / FILE, plan.header(), resume=resume) as (file, content):
        done = content.runs
        trials = plan.trials()
        for number, (terminals, seed) in enumerate(trials):
            for again in range(tries):
                if (terminals, seed) in done and done[terminals, seed].is_valid:
                    break
                note = f"{terminals} terminals, seed {seed}{f', try {again + 1}' if again else ''}"
                on_event({"phase": "validation", "done": number, "total": len(trials), "note": note})
                trial = _play(plan, terminals, seed, folder)
                file.append({"entry": "run", **trial.__dict__})
                done[terminals, seed] = trial
        on_event({"phase": "validation", "done": len(trials), "total": len(trials)})
    return [done[trial] for trial in trials]


def _play(plan: Plan, terminals: int, seed: int, folder: Path) -> Trial:
    scenario = plan.scenario(terminals, seed)
    result = play_real(scenario, plan.backend, folder / "runs", plan.time_scale, lambda _event: None)
    kept = {name: value for name, value in result.summary.items() if name not in NOT_KEPT}
    return Trial(terminals, seed, kept, actions_of(read_record(result.record)))


# fitting


def actions_of(record: RunRecord) -> dict[str, float]:
    """What the programs of a real run did, and their CPU time in ns."""
    programs: dict[str, dict[str, Any]] = record.extra["programs"]
    isps = [result for name, result in programs.items() if name.startswith("isp")]
    succeeded = sum(result["attempts_by_reason"].get("NONE", 0) for result in isps)
    engine = record.extra["engine"]
    return {
        "exchanges": float(succeeded),
        "refusals": float(sum(result["attempts"] for result in isps) - succeeded),
        "reports": float(len(record.terminals)),
        "frames": float(engine["frames_written"]),
        "isp_cpu_ns": float(sum(result["cpu_ns"] for result in isps)),
        "farm_cpu_ns": float(sum(r["cpu_ns"] for name, r in programs.items() if name.startswith("farm"))),
        "center_cpu_ns": float(sum(r["cpu_ns"] for name, r in programs.items() if name.startswith("center"))),
        "router_cpu_ns": float(engine["cpu_ns"]),
    }


def fit_costs(trials: Sequence[Trial], cores: int, source: str) -> Costs:
    """The cost of each action, from runs in which several kinds of actions were mixed; least squares, not negative.

    RunError when there is no valid run.
    """
    valid = [trial.actions for trial in trials if trial.is_valid]
    if not valid:
        raise RunError("there is no valid run to fit costs to", found=f"{len(trials)} runs, all of them invalid")
    refused, exchange = _shares(valid, "isp_cpu_ns", ("refusals", "exchanges"))
    (terminal,) = _shares(valid, "farm_cpu_ns", ("exchanges",))
    (report,) = _shares(valid, "center_cpu_ns", ("reports",))
    (frame,) = _shares(valid, "router_cpu_ns", ("frames",))
    return Costs(
        isp_refused_ns=round(refused),
        isp_exchange_ns=max(round(exchange), round(refused)),
        terminal_exchange_ns=round(terminal),
        center_report_ns=round(report),
        router_frame_ns=round(frame),
        cores=cores,
        source=source,
    )


def _shares(runs: Sequence[Mapping[str, float]], total: str, actions: Sequence[str]) -> Iterator[float]:
    """What one of each of these actions takes of a total."""
    from scipy import optimize  # slow to import, and needed by few commands

    counts = np.array([[run[action] for action in actions] for run in runs])
    totals = np.array([run[total] for run in runs])
    weights = 1 / np.maximum(totals, 1.0)
    found, _ = optimize.nnls(counts * weights[:, None], totals * weights)
    yield from map(float, found)


# prediction


def predict(plan: Plan, wanted: Mapping[int, Costs], on_event: OnEvent) -> dict[int, list[Summary]]:
    """The twin's runs of each of these numbers of terminals, with its costs; shared by this machine's cores."""
    seeds = range(FIRST_PREDICTED_SEED, FIRST_PREDICTED_SEED + plan.predictions)
    tasks: dict[Point, Task] = {}
    for terminals in sorted(wanted, reverse=True):
        text = plan.scenario(terminals, plan.base.seed).scaled(plan.time_scale).to_toml()
        task = Task(text, wanted[terminals], EngineName.SIMPY.value, plan.time_scale)
        tasks |= {Point((("fleet.terminals", str(terminals)),), seed): task for seed in seeds}
    found: dict[Point, Summary] = {}
    with cluster(None, len(tasks)) as computing:
        for point, summed_up in computing.compute(tasks):
            on_event({"phase": "prediction", "done": len(found), "total": len(tasks)})
            found[point] = summed_up
    return {
        terminals: [found[Point((("fleet.terminals", str(terminals)),), seed)] for seed in seeds]
        for terminals in wanted
    }
