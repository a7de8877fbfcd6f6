"""Runs of one scenario side by side: the thesis' table 5, with what was measured and simulated here."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from hostemu.base.resources import data_file
from hostemu.report.statistics import Estimate
from hostemu.report.variants import changes, identity

Summary = dict[str, Any]
JSON = dict[str, Any]


@dataclass(frozen=True)
class Quantity:
    """One row of the table: its name, how to read it from a summary, digits shown."""

    name: str
    path: tuple[str, ...]
    digits: int

    def read(self, summary: Summary) -> float | None:
        """The value in one run's summary; None when the run has none."""
        value: Any = summary
        for key in self.path:
            value = value.get(key) if isinstance(value, dict) else None
        return None if value is None else float(value)


QUANTITIES = (
    Quantity("terminals", ("terminals",), 0),
    Quantity("retrieved", ("retrieved",), 1),
    Quantity("failed", ("failed_total",), 1),
    Quantity("time, s", ("makespan_s",), 1),
    Quantity("time to retrieve, median, s", ("time_to_retrieve_s", "p50"), 1),
    Quantity("time to retrieve, 99th percentile, s", ("time_to_retrieve_s", "p99"), 1),
    Quantity("attempts per terminal", ("attempts", "mean"), 2),
)

_PUBLISHED_KEYS = {"terminals": "terminals", "retrieved": "retrieved_at_most", "time, s": "time_s"}


def published_row(scenario: str) -> JSON | None:
    """The thesis' figures for a scenario, None when it has none."""
    thesis = tomllib.loads(data_file("models", "thesis-2008.toml").read_text())
    row: JSON | None = thesis["table5"].get(scenario)
    return row


def compare(summaries: Iterable[Summary]) -> list[JSON]:
    """One comparison per experiment: published, measured and simulated values and their difference.

    Runs of one scenario with different settings are different experiments; the seed makes no difference.

    Invalid runs are listed, and left out of the means unless there are no others; incomplete ones always.
    """
    experiments: dict[str, list[Summary]] = {}
    for summary in summaries:
        run = {**summary, "failed_total": sum(summary["failed"].values())}
        experiments.setdefault(identity(run["scenario_text"]), []).append(run)
    return [_compare_one(runs) for runs in experiments.values()]


def _compare_one(runs: Sequence[Summary]) -> JSON:
    scenario = runs[0]["scenario"]
    changed = changes(scenario, runs[0]["scenario_text"])
    measured, left_out_real = _usable([run for run in runs if run["mode"] != "simulated"])
    simulated, left_out_twin = _usable([run for run in runs if run["mode"] == "simulated"])
    left_out = [*left_out_real, *left_out_twin]
    published = None if changed else published_row(scenario)
    return {
        "scenario": scenario,
        "changed": changed,
        "published": published,
        "runs": {"measured": len(measured), "simulated": len(simulated)},
        "backends": sorted({run["backend"] for run in measured}),
        "hosts": sorted({str(run["host"].get("cpu_model", "?")) for run in measured}),
        "seeds": sorted({run["seed"] for run in (*measured, *simulated)}),
        "invalid": {"measured": not all(map(_is_valid, measured)), "simulated": not all(map(_is_valid, simulated))},
        "time_scales": sorted({run["time_scale"] for run in measured}),
        "failures": {"measured": _failures(measured), "simulated": _failures(simulated)},
        "left_out": [{"mode": run["mode"], "seed": run["seed"], "why": _why(run)} for run in left_out],
        "rows": [_row(quantity, published, measured, simulated) for quantity in QUANTITIES],
    }


def _is_valid(run: Summary) -> bool:
    return run["verdict"] == "valid" and bool(run["complete"])


def _usable(runs: Sequence[Summary]) -> tuple[list[Summary], list[Summary]]:
    """The runs to show, and those left out: invalid ones are shown, marked, only when there are no others."""
    valid = [run for run in runs if _is_valid(run)]
    finished = [run for run in runs if run["complete"]]
    shown = valid or finished
    return shown, [run for run in runs if not _is_valid(run)]


def _why(run: Summary) -> list[str]:
    incomplete = [] if run["complete"] else ["the run did not finish"]
    return incomplete + (run["verdict"] if isinstance(run["verdict"], list) else [])


def _failures(runs: Sequence[Summary]) -> dict[str, int]:
    total: dict[str, int] = {}
    for run in runs:
        for reason, count in run["failed"].items():
            total[reason] = total.get(reason, 0) + count
    return total


def _row(
    quantity: Quantity, published: JSON | None, measured: Sequence[Summary], simulated: Sequence[Summary]
) -> JSON:
    real, twin = _estimate(quantity, measured), _estimate(quantity, simulated)
    key = _PUBLISHED_KEYS.get(quantity.name)
    difference = None
    if real is not None and twin is not None and real.mean:
        difference = (twin.mean - real.mean) / real.mean
    return {
        "quantity": quantity.name,
        "digits": quantity.digits,
        "published": published[key] if published is not None and key is not None else None,
        "measured": _as_json(real),
        "simulated": _as_json(twin),
        "difference": difference,
    }


def _estimate(quantity: Quantity, runs: Sequence[Summary]) -> Estimate | None:
    values = [value for value in map(quantity.read, runs) if value is not None]
    return Estimate.of(values) if values else None


def _as_json(estimate: Estimate | None) -> JSON | None:
    if estimate is None:
        return None
    return {"mean": estimate.mean, "half_width_95": estimate.half_width, "n": estimate.n}


def _cell(value: JSON | None, digits: int, invalid: bool) -> str:
    if value is None:
        return "–"
    mark = ", INVALID" if invalid else ""
    return f"{Estimate(value['mean'], value['half_width_95'], value['n']).text(digits)} (n={value['n']}{mark})"


def _cells(row: JSON, invalid: dict[str, bool]) -> list[str]:
    published = "–" if row["published"] is None else str(row["published"])
    difference = "–" if row["difference"] is None else f"{row['difference']:+.2%}"
    sides = [_cell(row[side], row["digits"], invalid[side]) for side in ("measured", "simulated")]
    return [row["quantity"], published, *sides, difference]


HEADINGS = ("", "published (2008)", "measured here", "simulated", "simulated − measured")


def _notes(comparison: JSON) -> list[str]:
    notes = []
    published = comparison["published"]
    if comparison["changed"]:
        notes.append(f"with {', '.join(comparison['changed'])}")
    if published is not None:
        notes.append(f"published: row {published['row']}, failures as printed: {published['failed_as_printed']}")
    if comparison["backends"]:
        hosts = ", ".join(comparison["hosts"])
        scales = ", ".join(f"{scale:g}" for scale in comparison["time_scales"])
        notes.append(f"measured: {', '.join(comparison['backends'])} guests on {hosts}; time scale 1:{scales}")
    for side, failures in comparison["failures"].items():
        if failures:
            text = ", ".join(f"{reason} {count}" for reason, count in sorted(failures.items()))
            notes.append(f"failures, {side}, all runs: {text}")
    for run in comparison["left_out"]:
        notes.append(f"invalid: {run['mode']} run, seed {run['seed']}: {'; '.join(run['why'])}")
    notes.append(f"seeds {', '.join(map(str, comparison['seeds']))}; ± is the 95 % interval of the mean")
    return notes


def as_table(comparison: JSON) -> Table:
    """The comparison for a terminal."""
    prefix = "" if comparison["published"] is None else "Table 5 of the thesis: "
    table = Table(title=prefix + comparison["scenario"], caption="\n".join(_notes(comparison)))
    table.caption_justify = "left"
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for row in comparison["rows"]:
        table.add_row(*_cells(row, comparison["invalid"]))
    return table


def as_markdown(comparison: JSON) -> str:
    """The comparison for a document."""
    lines = [f"### {comparison['scenario']}", "", "| " + " | ".join(HEADINGS) + " |", "|---|" + "---:|" * 4]
    lines += ["| " + " | ".join(_cells(row, comparison["invalid"])) + " |" for row in comparison["rows"]]
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(comparison)), ""])
