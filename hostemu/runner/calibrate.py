"""The cost campaign: what each action of the real programs costs here in CPU time.

Two scenarios are played on guests: all terminals on (an attempt always succeeds) and all terminals off (it is always
refused).  A program's CPU time, user and system, divided by what it did, is the cost of one action.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from hostemu.base.errors import RunError
from hostemu.measure.costs import FIGURES, Costs, Provenance
from hostemu.measure.host import host_facts
from hostemu.records import RunRecord, read_record
from hostemu.runner.backends import resolve_backend
from hostemu.runner.play import OnEvent, play_real
from hostemu.scenario import load_scenario

EXCHANGE, REFUSED = "cost-exchange", "cost-refused"
COMMAND = "hostemu calibrate"


@dataclass(frozen=True)
class Sample:
    """One run's figures, by name."""

    scenario: str
    figures_ns: dict[str, float]


def _total(record: RunRecord, kind: str, key: str) -> int:
    """The sum over the programs of a kind ("isp", "farm", "center") of one of their results."""
    programs: dict[str, dict[str, Any]] = record.extra["programs"]
    return sum(result[key] for name, result in programs.items() if name.startswith(kind))


def _exchange_figures(record: RunRecord) -> Iterator[tuple[str, float]]:
    count = len(record.terminals)
    yield "isp_exchange", _total(record, "isp", "cpu_ns") / count
    yield "terminal_exchange", _total(record, "farm", "cpu_ns") / count
    yield "center_report", _total(record, "center", "cpu_ns") / count
    engine = record.extra["engine"]
    yield "router_frame", engine["cpu_ns"] / max(1, engine["frames_written"])


def _refused_figures(record: RunRecord) -> Iterator[tuple[str, float]]:
    yield "isp_refused", _total(record, "isp", "cpu_ns") / int(record.terminals["attempts"].sum())


_FIGURES: dict[str, Callable[[RunRecord], Iterator[tuple[str, float]]]] = {
    EXCHANGE: _exchange_figures,
    REFUSED: _refused_figures,
}


def measure_costs(
    backend: str, output: Path, repeats: int, on_event: OnEvent, on_sample: Callable[[Sample], None]
) -> Costs:
    """Play both scenarios `repeats` times, in turn; RunError when a run was disturbed."""
    backend = resolve_backend(backend).name
    samples: dict[str, list[float]] = {name: [] for name in FIGURES}
    for repeat in range(repeats):
        for name, figures in _FIGURES.items():
            scenario = load_scenario(name, [f"seed={repeat + 1}"])
            result = play_real(scenario, backend, output, 1.0, on_event)
            if result.summary["verdict"] != "valid":
                raise RunError(
                    f"calibration run {name} is invalid",
                    found="; ".join(result.summary["verdict"]),
                    hint="calibrate on a machine that does nothing else",
                )
            sample = Sample(name, dict(figures(read_record(result.record))))
            for figure, value in sample.figures_ns.items():
                samples[figure].append(value)
            on_sample(sample)
    return _costs(backend, samples)


def _costs(backend: str, samples: dict[str, list[float]]) -> Costs:
    """Medians of the samples, with their number and spread."""
    figures = {name: round(median(values)) for name, values in samples.items()}
    return Costs(
        isp_refused_ns=figures["isp_refused"],
        isp_exchange_ns=figures["isp_exchange"],
        terminal_exchange_ns=figures["terminal_exchange"],
        center_report_ns=figures["center_report"],
        router_frame_ns=figures["router_frame"],
        cores=len(os.sched_getaffinity(0)),
        source=f"measured here on {backend} guests",
        provenance=Provenance(
            command=COMMAND,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            host={key: value for key, value in host_facts().items() if isinstance(value, str | int | float | bool)},
            samples={name: len(values) for name, values in samples.items()},
            spread_ns={name: round(max(values) - min(values)) for name, values in samples.items()},
        ),
    )
