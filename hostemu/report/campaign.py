"""A campaign's summary as a table: every cell, its figures, and everything that speaks against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from hostemu.report.figures import cell_name, mean_text, scale_of

JSON = Mapping[str, Any]

SHOWN = {"guests": ("guests", "guest_bytes"), "ease": ("steps",)}
"""Of figures with many quantities, those that are shown; all are in the summary."""

COLUMNS = (("", "left"), ("figure", "left"), ("unit", "left"), ("n of", "right"), ("mean, 95 %", "right"))


def as_table(summary: JSON) -> Table:
    """For a terminal.  What has no figure is told below the table."""
    table = Table(title=f"campaign {summary['campaign']}")
    for heading, justify in COLUMNS:
        table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
    table.add_column("median", justify="right")
    for cell in summary["cells"]:
        for row in _rows(cell):
            table.add_row(*row)
    return table


def _rows(cell: JSON) -> Iterator[list[str]]:
    name = cell_name(cell)
    for quantity_name, quantity in _shown(cell):
        scale = scale_of(quantity)
        counted = f"{quantity['n']} of {cell['wanted']}"
        yield [name, quantity_name, scale.unit, counted, mean_text(quantity), scale.text(quantity["median"])]
        name = ""


def _shown(cell: JSON) -> Iterator[tuple[str, JSON]]:
    """The quantities of a cell that are shown."""
    wanted = SHOWN.get(cell["figure"])
    for name, quantity in cell["quantities"].items():
        if wanted is None or name in wanted:
            yield name, quantity


def notes(summary: JSON) -> list[str]:
    """Every reason, failure and warning once, with the cells that it is about."""
    found: dict[str, dict[str, None]] = {}
    for cell in summary["cells"]:
        for text in _remarks(cell):
            found.setdefault(text, {})[cell_name(cell)] = None
    return [f"{text}: {'; '.join(_gathered(list(names), summary))}" for text, names in found.items()]


def _remarks(cell: JSON) -> Iterator[str]:
    if cell["reason"]:
        yield f"no figure ({cell['reason']})"
    for failure in cell["failures"]:
        yield f"failed ({failure})"
    for note in cell["notes"]:
        yield f"ended by {note}"
    yield from cell["warnings"]
    for _, quantity in _shown(cell):
        yield from quantity["warnings"]


def _gathered(names: list[str], summary: JSON) -> Iterator[str]:
    """Backends of which all cells are named stand for these cells."""
    for backend in summary["backends"]:
        own = [cell_name(cell) for cell in summary["cells"] if cell["backend"] == backend]
        if own and set(own) <= set(names):
            yield f"all of {backend}"
            names = [name for name in names if name not in own]
    yield from names
