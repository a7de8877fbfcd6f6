"""Runs of one scenario side by side: the thesis' table 5, with what was measured and simulated here."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from hostemu.base.resources import data_file
from hostemu.report.statistics import Estimate
from hostemu.report.use import planned_value
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


SIMULATED = "simulated"
MIB = 2**20
ORDER = ("netns", "uml", "qemu", "kvm", "xen", "vmware")
"""In which backends stand side by side; others follow."""

QUANTITIES = (
    Quantity("terminals", ("terminals",), 0),
    Quantity("retrieved", ("retrieved",), 1),
    Quantity("failed", ("failed_total",), 1),
    Quantity("time, s", ("makespan_s",), 1),
    Quantity("time to retrieve, median, s", ("time_to_retrieve_s", "p50"), 1),
    Quantity("time to retrieve, 99th percentile, s", ("time_to_retrieve_s", "p99"), 1),
    Quantity("attempts per terminal", ("attempts", "mean"), 2),
)

USED = (
    Quantity("memory used, MiB", ("used_mib",), 0),
    Quantity("planned", ("planned_mib",), 0),
    Quantity("CPU time used, core-seconds", ("used", "cpu_s"), 1),
    Quantity("planned", ("planned_cpu_s",), 1),
)
"""What real runs took of the machine; of those that a plan was made for, beside it."""

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
        run = {**summary, "failed_total": sum(summary["failed"].values()), **_use(summary)}
        experiments.setdefault(identity(run["scenario_text"]), []).append(run)
    return [_compare_one(runs) for runs in experiments.values()]


def _use(summary: Summary) -> JSON:
    """Memory in MiB, and what was planned; without those that a run does not tell."""
    planned = summary.get("planned", {})
    used, expected = summary.get("used", {}).get("memory_bytes"), planned_value(planned, "memory_bytes")
    found = {"used_mib": _mib(used), "planned_mib": _mib(expected), "planned_cpu_s": planned_value(planned, "cpu_s")}
    return {name: value for name, value in found.items() if value is not None}


def _mib(size_bytes: float | None) -> float | None:
    return None if size_bytes is None else size_bytes / MIB


def _compare_one(runs: Sequence[Summary]) -> JSON:
    scenario = runs[0]["scenario"]
    changed = changes(scenario, runs[0]["scenario_text"])
    sides = {name: _usable(own) for name, own in _sides(runs).items()}
    shown = {name: usable for name, (usable, _) in sides.items()}
    left_out = [run for _, others in sides.values() for run in others]
    backends = [name for name, usable in shown.items() if name != SIMULATED and usable]
    measured = [run for name in backends for run in shown[name]]
    published = None if changed else published_row(scenario)
    return {
        "scenario": scenario,
        "changed": changed,
        "published": published,
        "backends": backends,
        "runs": {name: len(usable) for name, usable in shown.items() if usable},
        "hosts": sorted({str(run["host"].get("cpu_model", "?")) for run in measured}),
        "seeds": sorted({run["seed"] for usable in shown.values() for run in usable}),
        "invalid": {name: not all(map(_is_valid, usable)) for name, usable in shown.items()},
        "time_scales": sorted({run["time_scale"] for run in measured}),
        "failures": {name: _failures(usable) for name, usable in shown.items()},
        "left_out": [
            {"mode": run["mode"], "backend": run["backend"], "seed": run["seed"], "why": _why(run)}
            for run in left_out
        ],
        "rows": [_row(quantity, published, backends, shown) for quantity in (*QUANTITIES, *_used_by(measured))],
    }


def _used_by(runs: Sequence[Summary]) -> list[Quantity]:
    """Those of USED that some run tells."""
    return [quantity for quantity in USED if any(quantity.read(run) is not None for run in runs)]


def _sides(runs: Sequence[Summary]) -> dict[str, list[Summary]]:
    """The runs of each backend, and of the simulator."""
    sides: dict[str, list[Summary]] = {}
    for run in runs:
        sides.setdefault(SIMULATED if run["mode"] == SIMULATED else run["backend"], []).append(run)
    known = [name for name in ORDER if name in sides]
    return {name: sides[name] for name in [*known, *sorted(sides.keys() - set(known))]}


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
    quantity: Quantity, published: JSON | None, backends: Sequence[str], shown: dict[str, list[Summary]]
) -> JSON:
    real = {name: _estimate(quantity, shown[name]) for name in backends}
    twin = _estimate(quantity, shown.get(SIMULATED, []))
    key = _PUBLISHED_KEYS.get(quantity.name)
    return {
        "quantity": quantity.name,
        "digits": quantity.digits,
        "published": published[key] if published is not None and key is not None else None,
        "measured": {name: _as_json(estimate) for name, estimate in real.items()},
        "simulated": _as_json(twin),
        "difference": {name: _difference(estimate, twin) for name, estimate in real.items()},
    }


def _difference(real: Estimate | None, twin: Estimate | None) -> float | None:
    """Of the simulated from the measured mean, as a share of the latter."""
    if real is None or twin is None or not real.mean:
        return None
    return (twin.mean - real.mean) / real.mean


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


def _cells(row: JSON, comparison: JSON) -> list[str]:
    invalid, backends = comparison["invalid"], comparison["backends"]
    published = "–" if row["published"] is None else str(row["published"])
    cells = [row["quantity"], published]
    cells += [_cell(row["measured"][name], row["digits"], invalid[name]) for name in backends]
    cells.append(_cell(row["simulated"], row["digits"], invalid.get(SIMULATED, False)))
    differences = (row["difference"][name] for name in backends)
    return cells + ["–" if difference is None else f"{difference:+.2%}" for difference in differences]


def _headings(comparison: JSON) -> list[str]:
    backends = comparison["backends"]
    measured = [f"measured, {name}" for name in backends]
    return ["", "published (2008)", *measured, "simulated", *(f"simulated − {name}" for name in backends)]


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
        notes.append(f"measured: on {hosts}; time scale 1:{scales}")
    for side, failures in comparison["failures"].items():
        if failures:
            text = ", ".join(f"{reason} {count}" for reason, count in sorted(failures.items()))
            notes.append(f"failures, {side}, all runs: {text}")
    for run in comparison["left_out"]:
        what = run["backend"] or run["mode"]
        notes.append(f"invalid: {what} run, seed {run['seed']}: {'; '.join(run['why'])}")
    notes.append(f"seeds {', '.join(map(str, comparison['seeds']))}; ± is the 95 % interval of the mean")
    return notes


def as_table(comparison: JSON) -> Table:
    """The comparison for a terminal."""
    prefix = "" if comparison["published"] is None else "Table 5 of the thesis: "
    table = Table(title=prefix + comparison["scenario"], caption="\n".join(_notes(comparison)))
    table.caption_justify = "left"
    for heading in _headings(comparison):
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for row in comparison["rows"]:
        table.add_row(*_cells(row, comparison))
    return table


def as_markdown(comparison: JSON) -> str:
    """The comparison for a document."""
    headings = _headings(comparison)
    lines = [f"### {comparison['scenario']}", "", "| " + " | ".join(headings) + " |"]
    lines.append("|---|" + "---:|" * (len(headings) - 1))
    lines += ["| " + " | ".join(_cells(row, comparison)) + " |" for row in comparison["rows"]]
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(comparison)), ""])
