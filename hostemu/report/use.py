"""What a run used, beside what was planned for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

JSON = Mapping[str, Any]


@dataclass(frozen=True)
class Used:
    """A figure that runs tell and plans forecast.  divisor: from its unit to that of the text."""

    name: str
    title: str
    unit: str
    divisor: float
    digits: int

    def number(self, value: float) -> str:
        """The value in its unit."""
        return f"{value / self.divisor:,.{self.digits}f}"

    def text(self, value: float) -> str:
        """The value with its unit."""
        return f"{self.number(value)} {self.unit}"


FIGURES = (
    Used("memory_bytes", "memory used", "MiB", 2**20, 0),
    Used("cpu_s", "CPU time used", "core-seconds", 1, 1),
    Used("start_s", "start-up", "s", 1, 1),
    Used("run_s", "played in", "s", 1, 1),
    Used("disk_bytes", "disk used", "MiB", 2**20, 1),
)


def planned_value(planned: JSON, name: str) -> float | None:
    """What a forecast says of a figure."""
    found = planned.get(name)
    value = found["value"] if isinstance(found, Mapping) else found
    return None if value is None else float(value)


def errors(summary: JSON) -> dict[str, float]:
    """(planned − used) / used of every figure that a run has both of."""
    found = {}
    for figure in FIGURES:
        used = summary.get("used", {}).get(figure.name)
        planned = planned_value(summary.get("planned", {}), figure.name)
        if used and planned is not None:
            found[figure.name] = (planned - used) / used
    return found


def use_rows(summary: JSON) -> Iterator[tuple[str, str]]:
    """A row per figure of a run's use, with what was planned."""
    off = errors(summary)
    for figure in FIGURES:
        used = summary.get("used", {}).get(figure.name)
        if used is not None:
            planned = planned_value(summary.get("planned", {}), figure.name)
            note = f" (planned {figure.text(planned or 0.0)}, {off[figure.name]:+.1%})" if figure.name in off else ""
            yield figure.title, figure.text(used) + note


def checked(summaries: Iterable[JSON]) -> list[dict[str, Any]]:
    """Of every run that a plan was made for: planned and used values and the error, (planned − used) / used."""
    return [_checked(summary, off) for summary in summaries if (off := errors(summary))]


def _checked(summary: JSON, off: Mapping[str, float]) -> dict[str, Any]:
    kept = ("scenario", "backend", "terminals", "seed", "time_scale", "verdict")
    figures = {
        name: {
            "planned": planned_value(summary["planned"], name),
            "used": summary["used"][name],
            "error": error,
        }
        for name, error in off.items()
    }
    attempts = {
        "planned": summary["planned"]["twin"]["attempts"],
        "used": round(summary["attempts"]["mean"] * summary["terminals"]),
    }
    models = f"{summary['planned']['origin']}: {summary['planned']['source']}"
    return {**{key: summary[key] for key in kept}, "figures": figures, "attempts": attempts, "models": models}


_SHOWN = FIGURES[:4]
_HEADINGS = (
    "run",
    *(f"{figure.title.removesuffix(' used')}, {figure.unit}" for figure in _SHOWN),
    "attempts",
    "verdict",
)


def _cells(check: JSON) -> list[str]:
    name = f"{check['scenario']}, {check['terminals']} on {check['backend']}, 1:{check['time_scale']:g}"
    cells = [_cell(figure, check["figures"].get(figure.name)) for figure in _SHOWN]
    attempts = f"{check['attempts']['planned']:,} / {check['attempts']['used']:,}"
    return [name, *cells, attempts, "valid" if check["verdict"] == "valid" else "INVALID"]


def _cell(figure: Used, values: JSON | None) -> str:
    if values is None:
        return "–"
    return f"{figure.number(values['planned'])} / {figure.number(values['used'])} ({values['error']:+.1%})"


def _notes(checks: Sequence[JSON]) -> list[str]:
    reasons = dict.fromkeys(reason for check in checks if check["verdict"] != "valid" for reason in check["verdict"])
    models = dict.fromkeys(f"{check['backend']}: {check['models']}" for check in checks)
    return ["planned / used (error)", *models, *(f"INVALID: {reason}" for reason in reasons)]


def checks_as_table(checks: Sequence[JSON]) -> Table:
    """The checks for a terminal."""
    table = Table(*_HEADINGS, title="what was planned, and what was used", caption="\n".join(_notes(checks)))
    table.caption_justify = "left"
    for check in checks:
        table.add_row(*_cells(check))
    return table


def checks_as_markdown(checks: Sequence[JSON]) -> str:
    """The checks for a document."""
    lines = ["| " + " | ".join(_HEADINGS) + " |", "|---|" + "---:|" * (len(_HEADINGS) - 1)]
    lines += ["| " + " | ".join(_cells(check)) + " |" for check in checks]
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(checks))])
