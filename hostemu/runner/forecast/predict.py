"""The forecast: how long a run lasts and what it does, by the twin; what that takes, by models of its parts."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from hostemu.base.errors import InputError
from hostemu.fitting import Models, Prediction
from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.measure.lab_use import RUNNER
from hostemu.records import RunRecord
from hostemu.runner.forecast.parts import (
    DISK,
    MEMORY,
    PARTS,
    STANDING,
    START,
    START_CPU,
    WATCH,
    WORK,
    Part,
    Size,
    size_of,
)
from hostemu.runner.real import lead_s
from hostemu.runner.using import CENTER, GUESTS, ISP
from hostemu.scenario import Scenario
from hostemu.sim import simulate, simulate_fleet
from hostemu.sim.fleet import obstacles

RUN_KINDS = (STANDING, WATCH, WORK)
"""CPU time while the programs work."""


@dataclass(frozen=True)
class Twin:
    """What the twin tells.  makespan_s: real seconds.  peak: most terminals in contact at a moment, over the mean.

    work_cpu_s: what the costs that it was given say of the programs' and the emulator's CPU time, by part.
    """

    engine: str
    attempts: int
    makespan_s: float
    peak: float
    work_cpu_s: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecast:
    """What a run will need.  Seconds are real ones.  parts: by quantity.

    source: of the models.  cores: that the run may use.
    """

    size: Size
    twin: Twin
    parts: dict[str, Prediction]
    cores: int
    source: str

    def kind(self, *kinds: str) -> Prediction:
        """All parts of these kinds together."""
        return Prediction.total(self.parts[part.quantity] for part in PARTS if part.kind in kinds)

    @property
    def memory_bytes(self) -> Prediction:
        """At its peak."""
        return self.kind(MEMORY)

    @property
    def cpu_s(self) -> Prediction:
        """From the first process of the lab until the last terminal is done."""
        return self.kind(START_CPU, *RUN_KINDS)

    @property
    def start_s(self) -> Prediction:
        """Until the programs begin."""
        return self.kind(START)

    @property
    def disk_bytes(self) -> Prediction:
        """The run's folder."""
        return self.kind(DISK)

    @property
    def mean_share(self) -> float:
        """Of the time of all cores, while the programs work."""
        return self.kind(*RUN_KINDS).value / (self.size.run_s * self.cores)

    @property
    def peak_share(self) -> float:
        """The same while most terminals are in contact."""
        return self.mean_share * self.twin.peak

    def as_json(self) -> dict[str, Any]:
        """Plain data; numbers that are not finite are null."""
        totals = {name: getattr(self, name) for name in ("memory_bytes", "cpu_s", "start_s", "disk_bytes")}
        return {
            **{name: amount.as_json() for name, amount in totals.items()},
            "run_s": self.size.run_s,
            "mean_share": self.mean_share,
            "peak_share": self.peak_share,
            "cores": self.cores,
            "size": asdict(self.size),
            "twin": asdict(self.twin),
            "parts": {name: amount.as_json() for name, amount in self.parts.items()},
            "source": self.source,
        }


def play_twin(scenario: Scenario, time_scale: float, costs: Costs = NO_COSTS) -> Twin:
    """Play the scenario simulated, `time_scale` times faster; by the compiled engine where that can.

    costs: of actions, if any are known.
    """
    scaled = scenario.scaled(time_scale)
    record = simulate(scaled, costs=costs) if obstacles(scaled, costs) else simulate_fleet(scaled)
    attempts = sum(record.extra["attempts_by_reason"].values())
    work_cpu_s = {} if costs.is_free else _work(record)
    return Twin(record.engine, attempts, record.makespan_ns / 1e9, _peak(record, scenario), work_cpu_s)


def _work(record: RunRecord) -> dict[str, float]:
    """CPU time that the twin's programs and its router took."""
    kinds = {CENTER: b"center", ISP: b"isp", GUESTS: b"terminals"}
    hosts = record.hosts
    found = {name: float(hosts["cpu_s"][hosts["kind"] == kind].sum()) for name, kind in kinds.items()}
    return {RUNNER: float(record.extra["router_cpu_s"]), **found}


def _peak(record: RunRecord, scenario: Scenario) -> float:
    """Terminals in contact at most over their mean: those not done yet, as far as programs contact them at a time."""
    progress = record.progress
    if len(progress) < 2 or not record.makespan_ns:
        return 1.0
    done = (progress["retrieved"] + progress["failed"]).astype(float)
    contacts = float(scenario.isp_programs * scenario.retrieval.concurrency)
    active = np.minimum(contacts, scenario.fleet.terminals - np.concatenate([[0.0], done[:-1]]))
    took = np.diff(progress["t_ns"].astype(float), prepend=0.0)
    mean = float((active * took).sum() / took.sum()) if took.sum() > 0 else 0.0
    return float(active.max()) / mean if mean > 0 else 1.0


def forecast(scenario: Scenario, twin: Twin, models: Models, backend: str) -> Forecast:
    """What a run of the scenario on this backend takes, by models that `fit_parts` has made."""
    programs = scenario.guests + scenario.isp_programs + 1
    run_s = twin.makespan_s + lead_s(programs)
    size = size_of(scenario, twin.attempts, run_s)
    return Forecast(size, twin, dict(parts_of(size, models, backend)), len(os.sched_getaffinity(0)), models.source)


def parts_of(size: Size, models: Models, backend: str) -> Iterator[tuple[str, Prediction]]:
    """Every part of a run of this size; InputError for models that lack one."""
    for part in PARTS:
        model = models.get(part.quantity, backend)
        if model is None:
            raise _missing(part, backend)
        yield part.quantity, model.at(size.over(part.over)).times(part.times(size))


def _missing(part: Part, backend: str) -> InputError:
    return InputError(
        f"the models have no {part.quantity} of {backend} guests",
        expected="models that `hostemu plan` has made of this scenario on this backend",
        hint="leave --model away: what is missing is measured",
    )
