"""The cells of a campaign's summary, as fits need them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hostemu.measure.summary import is_limited

Summary = Mapping[str, Any]
Cell = Mapping[str, Any]
Points = tuple[list[float], list[float]]
"""Values of x, and of y."""


def cells_of(summary: Summary, figure: str, backend: str) -> Iterator[Cell]:
    """The cells of a figure of a backend."""
    return (cell for cell in summary["cells"] if (cell["figure"], cell["backend"]) == (figure, backend))


def values_in(cell: Cell, quantity: str) -> list[float]:
    """Every value of a quantity; none where the cell does not have it."""
    found = cell["quantities"].get(quantity)
    return [] if found is None else [float(value) for value in found["values"]]


def pooled(summary: Summary, figure: str, backend: str, quantity: str) -> list[float]:
    """Every value of a quantity in all cells of a figure."""
    return [value for cell in cells_of(summary, figure, backend) for value in values_in(cell, quantity)]


def limit_of(cell: Cell) -> str | None:
    """What ended a search or ramp that could have gone further; None where it found its end."""
    return "; ".join(cell["notes"]) if is_limited(cell) else None
