"""A validation as a table: what was predicted, what was then measured, and how far apart they are."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from hostemu.base.confidence import student
from hostemu.measure.statistics import deviation, mean
from hostemu.report.compare import QUANTITIES, Quantity, Summary

JSON = dict[str, Any]

COMPARED = (
    "retrieved share",
    "failed",
    "time, s",
    "time to retrieve, median, s",
    "time to retrieve, 99th percentile, s",
    "attempts per terminal",
)


def results(measured: Mapping[int, Sequence[Summary]], predicted: Mapping[int, Sequence[Summary]]) -> list[JSON]:
    """One object per number of terminals and quantity.

    measured, predicted: {"mean", "deviation", "n"}.  error: (predicted − measured) / measured of the means.
    half_width_95: of that error (Welch).  is_covered: whether the measured mean lies where 95 % of such means should,
    going by the predicted runs.
    """
    return [
        row
        for terminals in sorted(predicted)
        for row in _rows(terminals, list(measured.get(terminals, ())), list(predicted[terminals]))
    ]


def _rows(terminals: int, measured: list[Summary], predicted: list[Summary]) -> Iterator[JSON]:
    for name in COMPARED:
        sides = [
            [value for value in (_read(name, run) for run in runs) if value is not None]
            for runs in (measured, predicted)
        ]
        if all(sides):
            yield {"terminals": terminals, "quantity": name, **_compared(*sides)}


def _read(name: str, run: Summary) -> float | None:
    if name == "retrieved share":
        return float(run["retrieved"] / max(1, run["terminals"]))
    if name == "failed":
        return float(run["terminals"] - run["retrieved"])
    quantity: Quantity = next(item for item in QUANTITIES if item.name == name)
    value: float | None = quantity.read(run)
    return value


def _compared(measured: Sequence[float], predicted: Sequence[float]) -> JSON:
    one_n, other_n = len(measured), len(predicted)
    one, other = mean(measured), mean(predicted)
    one_deviation, other_deviation = deviation(measured), deviation(predicted)
    variances = [one_deviation**2 / one_n, other_deviation**2 / other_n]
    half = student(_welch(variances, (one_n, other_n))) * math.sqrt(sum(variances))
    predictive = student(other_n - 1) * other_deviation * math.sqrt(1 / one_n + 1 / other_n)
    return {
        "measured": {"mean": one, "deviation": one_deviation, "n": one_n},
        "predicted": {"mean": other, "deviation": other_deviation, "n": other_n},
        "error": (other - one) / one if one else None,
        "half_width_95": half / abs(one) if one and min(one_n, other_n) > 1 else None,
        "is_covered": abs(other - one) <= predictive if other_n > 1 else None,
    }


def _welch(variances: Sequence[float], sizes: Sequence[int]) -> float:
    """Degrees of freedom (Welch and Satterthwaite)."""
    below = sum(variance**2 / (n - 1) for variance, n in zip(variances, sizes, strict=True) if n > 1)
    return sum(variances) ** 2 / below if below else math.inf


def published_run(row: Mapping[str, Any]) -> Summary:
    """A row of the thesis' table 5 as the summary of a run, as far as it goes."""
    return {
        "terminals": row["terminals"],
        "retrieved": row["retrieved_at_most"],
        "makespan_s": row["time_s"],
    }


HEADINGS = ("terminals", "", "measured", "predicted", "error", "covered")


def _cells(row: JSON) -> list[str]:
    digits = {"retrieved share": 4, "attempts per terminal": 2}.get(row["quantity"], 1)
    sides = [f"{row[side]['mean']:.{digits}f} (n={row[side]['n']})" for side in ("measured", "predicted")]
    half = "" if row["half_width_95"] is None else f" ± {row['half_width_95']:.2%}"
    error = "–" if row["error"] is None else f"{row['error']:+.2%}{half}"
    covered = {None: "–", True: "yes", False: "no"}[row["is_covered"]]
    return [str(row["terminals"]), row["quantity"], *sides, error, covered]


def as_table(title: str, rows: Sequence[JSON]) -> Table:
    """For a terminal."""
    table = Table(title=title)
    for heading in HEADINGS:
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def as_markdown(title: str, rows: Sequence[JSON]) -> str:
    """For a document."""
    lines = [f"### {title}", "", "| " + " | ".join(HEADINGS) + " |", "|---:|---|---:|---:|---:|---:|"]
    return "\n".join([*lines, *("| " + " | ".join(_cells(row)) + " |" for row in rows), ""])
