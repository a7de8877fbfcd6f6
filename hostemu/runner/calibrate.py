"""The cost campaign: what each action of the real programs costs here in CPU time.

Two scenarios are played on guests: all terminals on (an attempt always succeeds) and all terminals off (it is always
refused).  A program's CPU time, user and system, divided by what it did, is the cost of one action.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from hostemu.base.errors import RunError
from hostemu.measure.block import load_now
from hostemu.measure.costs import FIGURES, Costs, Provenance
from hostemu.measure.host import LoadMonitor, host_facts
from hostemu.measure.journal import Measurement, now, values_of
from hostemu.measure.plan import COST_SCENARIOS, Cell
from hostemu.records import RunRecord, read_record
from hostemu.runner.play import play_real
from hostemu.scenario import load_scenario

EXCHANGE, REFUSED = COST_SCENARIOS
COMMAND = "hostemu calibrate costs"


def _total(record: RunRecord, kind: str, key: str) -> int:
    """The sum over the programs of a kind ("isp", "farm", "center") of one of their results."""
    programs: dict[str, dict[str, Any]] = record.extra["programs"]
    return sum(result[key] for name, result in programs.items() if name.startswith(kind))


def _exchange_figures(record: RunRecord) -> Iterator[tuple[str, float]]:
    count = len(record.terminals)
    yield "isp_exchange_ns", _total(record, "isp", "cpu_ns") / count
    yield "terminal_exchange_ns", _total(record, "farm", "cpu_ns") / count
    yield "center_report_ns", _total(record, "center", "cpu_ns") / count
    engine = record.extra["engine"]
    yield "router_frame_ns", engine["cpu_ns"] / max(1, engine["frames_written"])


def _refused_figures(record: RunRecord) -> Iterator[tuple[str, float]]:
    yield "isp_refused_ns", _total(record, "isp", "cpu_ns") / int(record.terminals["attempts"].sum())


_FIGURES: dict[str, Callable[[RunRecord], Iterator[tuple[str, float]]]] = {
    EXCHANGE: _exchange_figures,
    REFUSED: _refused_figures,
}


def measure_cost(cell: Cell, repeat: int, folder: Path, before_s: float) -> Measurement:
    """Play the cell's scenario once, in a lab of its own; RunError when the run was disturbed.

    before_s: for how long the machine's load is looked at first.
    """
    name = str(cell.values["scenario"])
    before, at = load_now(before_s), now()
    with LoadMonitor() as monitor:
        began_s = time.monotonic()
        result = play_real(load_scenario(name, [f"seed={repeat}"]), cell.backend, folder, 1.0, lambda _event: None)
        duration_s = time.monotonic() - began_s
    if result.summary["verdict"] != "valid":
        raise RunError(
            f"calibration run {name} is invalid",
            found="; ".join(result.summary["verdict"]),
            hint="calibrate on a machine that does nothing else",
        )
    values = dict(_FIGURES[name](read_record(result.record)))
    return Measurement(cell, repeat, at, duration_s, values, {"seed": repeat}, False, before, monitor.summary())


def costs_of(measurements: Sequence[Measurement], backend: str) -> Costs:
    """The cost model of a backend, from a campaign's values: medians, with their number and spread.

    RunError, saying which, when a figure has no value.
    """
    own = [m for m in measurements if m.cell.figure == "costs" and m.cell.backend == backend]
    samples = {name: values_of(own, f"{name}_ns") for name in FIGURES}
    missing = [name for name, values in samples.items() if not values]
    if missing:
        raise RunError("no cost model: some figures were not measured", found=f"missing: {', '.join(missing)}")
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
            measured_at=max(m.at for m in own),
            host={key: value for key, value in host_facts().items() if isinstance(value, str | int | float | bool)},
            samples={name: len(values) for name, values in samples.items()},
            spread_ns={name: round(max(values) - min(values)) for name, values in samples.items()},
        ),
    )
