"""The cost campaign: what each action of the real programs costs here in CPU time.

Two scenarios are played on guests: all terminals on (an attempt always succeeds) and all terminals off (it is always
refused).  CPU time, user and system, divided by what was done, is the cost of one action: of programs on this kernel
that of the program; of guests with a kernel of their own that of the whole guest, as this machine sees it, beyond
what it uses while idle.  What this kernel does for network namespaces happens mostly where the emulator writes its
frames, and is part of what a frame costs there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from hostemu.base.errors import RunError
from hostemu.fitting.action_costs import MEASURED_BY
from hostemu.guests import backend as find_backend
from hostemu.measure.block import load_now
from hostemu.measure.costs import FIGURES, OPTIONAL, Costs, Provenance
from hostemu.measure.host import LoadMonitor, host_facts
from hostemu.measure.journal import Measurement, now, values_of
from hostemu.measure.plan import COST_SCENARIOS, Cell
from hostemu.records import RunRecord, read_record
from hostemu.runner.guest_cpu import GuestCpu
from hostemu.runner.play import play_real
from hostemu.scenario import load_scenario

EXCHANGE, REFUSED = COST_SCENARIOS
COMMAND = "hostemu calibrate costs"
IDLE_S = 3.0
"""For how long guests are watched doing nothing: long enough for a hundredth of a core to be seen."""


def _total(record: RunRecord, kind: str, key: str) -> int:
    """The sum over the programs of a kind ("isp", "farm", "center") of one of their results."""
    programs: dict[str, dict[str, Any]] = record.extra["programs"]
    return sum(result[key] for name, result in programs.items() if name.startswith(kind))


def _guests_total(record: RunRecord, prefix: str) -> float | None:
    """Busy CPU time in ns of all guests of these names; None where they have no kernel of their own."""
    used = record.extra["guest_cpu"]
    if not find_backend(record.backend).has_own_kernel:
        return None
    return sum(GuestCpu(**found).busy_ns for name, found in used.items() if name.startswith(prefix))


def _exchange_figures(record: RunRecord) -> Iterator[tuple[str, float]]:
    count = len(record.terminals)
    yield "isp_exchange_ns", _total(record, "isp", "cpu_ns") / count
    for action, guests, program in (("terminal_exchange", "guest", "farm"), ("center_report", "center", "center")):
        inside, whole = _total(record, program, "cpu_ns"), _guests_total(record, guests)
        yield f"{action}_ns", (inside if whole is None else whole) / count
        yield f"{action}_program_ns", inside / count
    engine = record.extra["engine"]
    yield "router_frame_ns", engine["cpu_ns"] / max(1, engine["frames_written"])


def _refused_figures(record: RunRecord) -> Iterator[tuple[str, float]]:
    attempts = int(record.terminals["attempts"].sum())
    yield "isp_refused_ns", _total(record, "isp", "cpu_ns") / attempts
    whole = _guests_total(record, "guest")
    if whole is not None:
        yield "terminal_refused_ns", max(whole, 0.0) / attempts


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
        scenario = load_scenario(name, [f"seed={repeat}"])
        idle_s = IDLE_S if find_backend(cell.backend).has_own_kernel else 0.0
        result = play_real(scenario, cell.backend, folder, 1.0, lambda _event: None, settle_s=idle_s)
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
    own = [m for m in measurements if m.cell.figure in MEASURED_BY and m.cell.backend == backend]
    values = {name: values_of(own, f"{name}_ns") for name in (*FIGURES, *OPTIONAL)}
    samples = {name: found for name, found in values.items() if found}
    missing = [name for name in FIGURES if name not in samples]
    if missing:
        raise RunError("no cost model: some figures were not measured", found=f"missing: {', '.join(missing)}")
    figures: dict[str, Any] = {f"{name}_ns": round(median(found)) for name, found in samples.items()}
    return Costs(
        **figures,
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
