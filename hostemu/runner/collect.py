"""Makes the record of a real run from what its programs, guests and emulator have to say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hostemu import __version__
from hostemu.gine import EngineHealth, NamedLineCounters, NodeCounters
from hostemu.guests.api import Usage
from hostemu.protocol.reasons import Reason
from hostemu.records import HOST, LINE_COUNTERS, PROGRESS, REFUSAL, TERMINAL, RunRecord
from hostemu.retrieval.store import read_outcomes
from hostemu.runner.configs import RUN_ID, database_url
from hostemu.runner.guest_cpu import GuestCpu
from hostemu.runner.layout import Layout
from hostemu.runner.verdict import Evidence, judge
from hostemu.scenario import Scenario
from hostemu.scenario.derive import FIRST_DEVICE_ID

Event = Mapping[str, Any]


@dataclass(frozen=True)
class Order:
    """What the process outside the lab asks for.

    kernel: that guests boot, if they have one; None: the best there is.
    host: facts as the user's own process sees them.  began_ns: when it asked, of the monotonic clock.
    settle_s: for how long the standing lab is watched before the programs are started; the record then has each
        guest's own CPU time of the run.
    planned: what was forecast; empty when nothing was.
    mode: "real", or "virtual" where guests' time is the run's own.
    charge: in virtual time, what computation takes guests' CPUs: fields of Charge.
    """

    folder: Path
    backend: str
    kernel: str | None
    time_scale: float
    started_at: str
    host: dict[str, Any]
    began_ns: int
    settle_s: float = 0.0
    planned: dict[str, Any] = field(default_factory=dict)
    mode: str = "real"
    charge: dict[str, Any] = field(default_factory=dict)


@dataclass
class Outputs:
    """Everything that a run has yielded so far.

    progress: (t_ns, retrieved, failed).  results: the last counters of every program.  done: the center's last word.
    is_store_busy: another kernel writes the center's store, so that nobody else may open it.
    clock_drift_ns: how far each guest's clock went away from ours during the run.
    guest_cpu: what each guest used from the start to the end, where that was asked for.
    """

    progress: list[tuple[int, int, int]] = field(default_factory=list)
    lines: Sequence[NamedLineCounters] = ()
    nodes: Sequence[NodeCounters] = ()
    health: EngineHealth | None = None
    load: Mapping[str, Any] = field(default_factory=dict)
    usage: Mapping[str, Usage] = field(default_factory=dict)
    used: Mapping[str, Any] = field(default_factory=dict)
    results: Mapping[str, Event] = field(default_factory=dict)
    clock_drift_ns: Mapping[str, int] = field(default_factory=dict)
    guest_cpu: Mapping[str, GuestCpu] = field(default_factory=dict)
    is_store_busy: bool = False
    done: Event | None = None
    problems: list[str] = field(default_factory=list)


def build_record(order: Order, scenario: Scenario, layout: Layout, outputs: Outputs) -> RunRecord:
    """The record; of a run that goes on, an incomplete one with what the center has stored."""
    text = (order.folder / "scenario.toml").read_text()
    return RunRecord(
        mode=order.mode,
        backend=order.backend,
        engine="gine",
        scenario_name=scenario.name,
        scenario_text=text,
        seed=scenario.seed,
        time_scale=order.time_scale,
        version=__version__,
        started_at=order.started_at,
        host=order.host,
        complete=outputs.done is not None,
        verdict=_verdict(scenario, outputs),
        makespan_ns=_makespan_ns(outputs),
        terminals=_terminals(order, scenario, outputs.is_store_busy),
        lines=_rows(LINE_COUNTERS, map(_line, outputs.lines)),
        hosts=_rows(HOST, (_host(layout, name, usage) for name, usage in outputs.usage.items())),
        refusals=_rows(REFUSAL, _refusals(outputs.results)),
        progress=_rows(PROGRESS, outputs.progress),
        extra={
            "programs": {name: dict(result) for name, result in outputs.results.items()},
            "nodes": [asdict(node) for node in outputs.nodes],
            "engine": {} if outputs.health is None else asdict(outputs.health),
            "load": dict(outputs.load),
            "used": dict(outputs.used),
            "planned": order.planned,
            "charge": order.charge,
            "guest_cpu": {name: asdict(used) for name, used in outputs.guest_cpu.items()},
            "clock_drift_ns": {name: drift for name, drift in outputs.clock_drift_ns.items() if drift},
        },
    )


def _verdict(scenario: Scenario, outputs: Outputs) -> list[str]:
    if outputs.health is None:
        return ["the run did not finish"]
    lag_p99_ns = {name: result["p99_lag_ns"] for name, result in outputs.results.items()}
    drift_ns = max(map(abs, outputs.clock_drift_ns.values()), default=0)
    evidence = Evidence(asdict(outputs.health), outputs.load, lag_p99_ns, scenario.power.on_ns, drift_ns)
    return [*outputs.problems, *judge(evidence)]


def _makespan_ns(outputs: Outputs) -> int:
    if outputs.done is not None:
        return int(outputs.done["makespan_ns"])
    return outputs.progress[-1][0] if outputs.progress else 0


def _rows(dtype: np.dtype[Any], rows: Iterable[tuple[Any, ...]]) -> Any:
    return np.array(list(rows), dtype)


def _terminals(order: Order, scenario: Scenario, is_store_busy: bool) -> Any:
    """Every terminal of the fleet; PENDING where the center has stored nothing, or nobody may look."""
    table = np.zeros(scenario.fleet.terminals, TERMINAL)
    table["device_id"] = FIRST_DEVICE_ID + np.arange(len(table))
    table["retrieved_at_ns"] = -1
    for outcome in () if is_store_busy else read_outcomes(database_url(order.folder), RUN_ID):
        at_ns = -1 if outcome.retrieved_at_ns is None else outcome.retrieved_at_ns
        table[outcome.device_id - FIRST_DEVICE_ID] = (
            outcome.device_id,
            outcome.outcome,
            outcome.reason,
            outcome.attempts,
            at_ns,
            outcome.exchange_ns,
        )
    return table


def _line(line: NamedLineCounters) -> tuple[Any, ...]:
    counts = (
        getattr(line, f"{unit}_{what}")
        for unit in ("frames", "bytes")
        for what in ("in", "out", "lost", "dropped", "in_flight")
    )
    return (line.name.encode(), line.direction.encode(), *counts)


def _host(layout: Layout, name: str, usage: Usage) -> tuple[Any, ...]:
    kinds = {layout.center.name: b"center", layout.isp.name: b"isp"}
    traffic = (usage.rx_frames, usage.tx_frames, usage.rx_bytes, usage.tx_bytes)
    return (name.encode(), kinds.get(name, b"terminals"), usage.cpu_s, usage.rss_bytes, *traffic)


def _refusals(results: Mapping[str, Event]) -> Iterable[tuple[bytes, int, int]]:
    for program, result in results.items():
        for reason, count in result.get("refusals", {}).items():
            yield program.encode(), int(Reason[reason.upper()]), count
