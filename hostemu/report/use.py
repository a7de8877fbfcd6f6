"""What a run used, beside what was planned for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

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
