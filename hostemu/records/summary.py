"""The figures of a run that tables and `--json` show; times are the scenario's."""

from __future__ import annotations

from typing import Any

import numpy as np

from hostemu.protocol.reasons import Outcome, Reason
from hostemu.records.model import RunRecord

QUANTILES = {"p50": 0.50, "p90": 0.90, "p99": 0.99, "max": 1.0}


def summary(record: RunRecord) -> dict[str, Any]:
    """A run as plain data; `failed` counts by reason, terminals that were never accounted for as "pending"."""
    terminals = record.terminals
    retrieved = terminals["outcome"] == Outcome.RETRIEVED
    attempts = terminals["attempts"]
    return {
        "scenario": record.scenario_name,
        "scenario_text": record.scenario_text,
        "mode": record.mode,
        "backend": record.backend,
        "engine": record.engine,
        "terminals": len(terminals),
        "retrieved": int(retrieved.sum()),
        "failed": _failed(record),
        "makespan_s": record.makespan_ns * record.time_scale / 1e9,
        "time_to_retrieve_s": _quantiles(record, retrieved),
        "attempts": {
            "mean": float(attempts.mean()) if len(attempts) else 0.0,
            "max": int(attempts.max(initial=0)),
        },
        "verdict": record.verdict or "valid",
        "complete": record.complete,
        "host": record.host,
        "seed": record.seed,
        "version": record.version,
        "time_scale": record.time_scale,
        "started_at": record.started_at,
    }


def _failed(record: RunRecord) -> dict[str, int]:
    outcome = record.terminals["outcome"]
    reasons, counts = np.unique(record.terminals["reason"][outcome == Outcome.FAILED], return_counts=True)
    failed = {Reason(int(reason)).name.lower(): int(count) for reason, count in zip(reasons, counts, strict=True)}
    pending = int((outcome == Outcome.PENDING).sum())
    return failed | ({"pending": pending} if pending else {})


def _quantiles(record: RunRecord, retrieved: np.ndarray[Any, np.dtype[np.bool_]]) -> dict[str, float | None]:
    times_ns = record.terminals["retrieved_at_ns"][retrieved]
    if not len(times_ns):
        return dict.fromkeys(QUANTILES)
    values = np.quantile(times_ns, list(QUANTILES.values())) * record.time_scale / 1e9
    return dict(zip(QUANTILES, map(float, values), strict=True))
