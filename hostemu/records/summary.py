"""The figures of a run that tables and `--json` show; times are the scenario's."""

from __future__ import annotations

from typing import Any

import numpy as np

from hostemu.protocol.reasons import Outcome, Reason
from hostemu.records.model import RunRecord, Table
from hostemu.records.tally import class_quantiles, tally_of

QUANTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "max": 1.0}


def summary(record: RunRecord) -> dict[str, Any]:
    """A run as plain data; `failed` counts by reason, terminals that were never accounted for as "pending"."""
    tally = record.tally if len(record.tally) else tally_of(record.terminals)
    count = int(tally["terminals"].sum())
    return {
        "scenario": record.scenario_name,
        "scenario_text": record.scenario_text,
        "mode": record.mode,
        "backend": record.backend,
        "engine": record.engine,
        "terminals": count,
        "retrieved": int(tally["terminals"][tally["outcome"] == Outcome.RETRIEVED].sum()),
        "failed": _failed(tally),
        "makespan_s": record.makespan_ns * record.time_scale / 1e9,
        "time_to_retrieve_s": _quantiles(record),
        "attempts": {
            "mean": int(tally["attempts"].sum()) / count if count else 0.0,
            "max": int(tally["attempts_max"].max(initial=0)),
        },
        "verdict": record.verdict or "valid",
        "complete": record.complete,
        "host": record.host,
        "seed": record.seed,
        "version": record.version,
        "time_scale": record.time_scale,
        "started_at": record.started_at,
        "used": record.extra.get("used", {}),
        "planned": record.extra.get("planned", {}),
    }


def _failed(tally: Table) -> dict[str, int]:
    failed = {
        Reason(int(row["reason"])).name.lower(): int(row["terminals"])
        for row in tally[tally["outcome"] == Outcome.FAILED]
    }
    pending = int(tally["terminals"][tally["outcome"] == Outcome.PENDING].sum())
    return failed | ({"pending": pending} if pending else {})


def _quantiles(record: RunRecord) -> dict[str, float | None]:
    shares = list(QUANTILES.values())
    if len(record.times):
        values = class_quantiles(record.times, shares)
    else:
        terminals = record.terminals
        times_ns = terminals["retrieved_at_ns"][terminals["outcome"] == Outcome.RETRIEVED]
        if not len(times_ns):
            return dict.fromkeys(QUANTILES)
        values = np.quantile(times_ns, shares)
    return dict(zip(QUANTILES, map(float, values * record.time_scale / 1e9), strict=True))
