"""What tables are made of.

A table is plain data: title, headings, rows of cells, notes.  A cell says what it is:

    {"is": "published", "value": 376424000.0, "unit": "bit/s"}
    {"is": "measured", "mean": …, "half_width_95": …, "n": 10, "unit": "bit/s", "warnings": […], "text": "…",
     "at_least": false,                   whether the campaign's own limit ended the measurement
     "instead": null}                     or the name of the program that measured in place of the thesis'
    {"is": "reason", "text": "why there is no figure"}
    {"is": "ratio", "value": 1.9}         measured / published
    {"is": "rating", "measured": "◎", "published": "△", "printed": "×"}
    {"is": "nothing"}                     the thesis has no such figure
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hostemu.measure.summary import is_limited
from hostemu.report.figures import half_width, mean_text
from hostemu.report.results import NO_PROCESSES, NOT_PART, Results

JSON = dict[str, Any]

NOTHING: JSON = {"is": "nothing"}

STAND_INS = {
    "iperf_bps": "iperf3_bps",
    "router_frames_per_s": "router_frames_at_least_per_s",
    "router_queue_frames": "router_burst_frames",
}
"""What a campaign has in the place of some quantities: another program's, or a number that is at least reached."""


@dataclass
class TableData:
    """One table."""

    title: str
    headings: list[str]
    rows: list[tuple[str, list[JSON]]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> JSON:
        """As plain data."""
        rows = [{"name": name, "cells": cells} for name, cells in self.rows]
        return {"title": self.title, "headings": self.headings, "rows": rows, "notes": self.notes}

    def add(self, name: str, cells: Sequence[JSON]) -> None:
        """Add a row, unless nothing is in it, or nothing but that the campaign has no part of it."""
        if any(cell["is"] != "nothing" and cell.get("text") != NOT_PART for cell in cells):
            self.rows.append((name, list(cells)))


def published_cell(value: float | None, unit: str) -> JSON:
    """What the thesis has."""
    return NOTHING if value is None else {"is": "published", "value": value, "unit": unit}


def measured_cell(results: Results, figure: str, backend: str, quantity: str, **parameters: Any) -> JSON:
    """What was measured, or why nothing was; nothing where the campaign has no such cell."""
    cell = results.cell(figure, backend, **parameters)
    if cell is None:
        return {"is": "reason", "text": NOT_PART} if results.lacks(figure, backend) else NOTHING
    name = quantity if quantity in cell["quantities"] else STAND_INS.get(quantity, quantity)
    found = cell["quantities"].get(name)
    if found is None:
        return {"is": "reason", "text": cell["reason"] or NO_PROCESSES}
    warnings = [*found["warnings"], *cell["warnings"]]
    program = name.partition("_")[0] if name == "iperf3_bps" else None
    at_least = (name == figure and is_limited(cell)) or (name != quantity and program is None)
    return {
        "is": "measured",
        "mean": found["mean"],
        "half_width_95": half_width(found),
        "n": found["n"],
        "unit": found["unit"],
        "warnings": warnings,
        "text": f"{'≥ ' if at_least else ''}{mean_text(found)} (n={found['n']}){f' by {program}' if program else ''}",
        "at_least": at_least,
        "instead": program,
    }


def ratio_cell(measured: JSON, of: JSON) -> JSON:
    """Measured over published; nothing where another program measured."""
    if measured["is"] != "measured" or measured["instead"] or of["is"] != "published":
        return NOTHING
    return {"is": "ratio", "value": measured["mean"] / of["value"]}
