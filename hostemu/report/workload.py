"""Runs of workloads for a reader: one by itself, or several side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from hostemu.records.workload import WorkloadRecord

QUANTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}


def summary_of(record: WorkloadRecord) -> dict[str, Any]:
    """One run in numbers.  Of each group: programs, those that ended well, and its values' quantiles."""
    groups: dict[str, Any] = {}
    for name in dict.fromkeys(row.group for row in record.programs):
        rows = [row for row in record.programs if row.group == name]
        values = np.array([value for row in rows for value in row.values])
        groups[name] = {
            "programs": len(rows),
            "ended_well": sum(row.exit_status == 0 for row in rows),
            "values": len(values),
            **_statistics(values),
        }
    return {
        "workload": record.name,
        "mode": record.mode,
        "backend": record.backend,
        "slow_as": record.charge.get("of", ""),
        "seed": record.seed,
        "unit": record.unit,
        "duration_s": record.duration_ns / 1e9,
        "verdict": record.verdict or "valid",
        "groups": groups,
    }


def _statistics(values: Any) -> dict[str, float]:
    if not len(values):
        return {}
    quantiles = {name: float(np.quantile(values, share)) for name, share in QUANTILES.items()}
    return {"mean": float(values.mean()), **quantiles, "max": float(values.max())}


def table_of(summary: dict[str, Any]) -> Table:
    """One run for a terminal."""
    table = Table(title=f"{summary['workload']}, {_kind(summary)}", show_header=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("time", f"{summary['duration_s']:.3f} s")
    for name, group in summary["groups"].items():
        table.add_row(name, f"{group['programs']} programs, {group['ended_well']} ended well")
        if group["values"]:
            parts = [f"{key} {_text(group[key])}" for key in ("mean", *QUANTILES, "max")]
            table.add_row(f"{name}: {group['values']} values, {summary['unit']}", ", ".join(parts))
    table.add_row("seed", str(summary["seed"]))
    verdict = summary["verdict"]
    table.add_row("verdict", verdict if isinstance(verdict, str) else "INVALID: " + "; ".join(verdict))
    return table


def _text(value: float) -> str:
    return f"{value:.4g}"


def compared(summaries: Sequence[dict[str, Any]]) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """For each workload: its name, a heading, and rows: means of runs of a kind, and how far from the first kind."""
    for name in dict.fromkeys(summary["workload"] for summary in summaries):
        mine = [summary for summary in summaries if summary["workload"] == name]
        kinds = {_kind(summary): [other for other in mine if _kind(other) == _kind(summary)] for summary in mine}
        heading = ["", *(f"{kind} ({len(runs)})" for kind, runs in kinds.items())]
        yield name, heading, list(_rows(list(kinds.values())))


def _kind(summary: dict[str, Any]) -> str:
    """Such as "real, qemu" or "virtual, as slow as qemu"."""
    if summary["mode"] == "real":
        return f"real, {summary['backend']}"
    return ", as slow as ".join(filter(None, (summary["mode"], summary["slow_as"])))


def _rows(kinds: list[list[dict[str, Any]]]) -> Iterator[list[str]]:
    yield ["time, s", *_cells([[run["duration_s"] for run in runs] for runs in kinds])]
    for group in dict.fromkeys(name for runs in kinds for run in runs for name in run["groups"]):
        unit = kinds[0][0]["unit"]
        for key in ("mean", *QUANTILES, "max"):
            columns = [[run["groups"].get(group, {}).get(key) for run in runs] for runs in kinds]
            if any(value is not None for column in columns for value in column):
                yield [f"{group}: {key}, {unit}", *_cells(columns)]
    yield ["valid", *(f"{sum(run['verdict'] == 'valid' for run in runs)} of {len(runs)}" for runs in kinds)]


def _cells(columns: Sequence[Sequence[float | None]]) -> Iterator[str]:
    reference: float | None = None
    for column in columns:
        known = [value for value in column if value is not None]
        if not known:
            yield "–"
            continue
        value = sum(known) / len(known)
        error = "" if not reference else f" ({value / reference - 1:+.1%})"
        reference = value if reference is None else reference
        yield f"{_text(value)}{error}"


def as_table(name: str, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """A comparison for a terminal."""
    table = Table(title=name)
    for column in heading:
        table.add_column(column)
    for row in rows:
        table.add_row(*row)
    return table


def as_markdown(name: str, heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A comparison for a document."""
    lines = [f"## {name}", "", "| " + " | ".join(heading) + " |", "|---|" + "---:|" * (len(heading) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows), ""])
