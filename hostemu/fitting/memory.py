"""Models of what guests take of a machine's memory, and of how many of them and of their terminals fit into some."""

from __future__ import annotations

from collections.abc import Iterator

from hostemu.base.errors import InputError
from hostemu.base.units import parse_size_bytes
from hostemu.fitting.cells import Points, Summary, cells_of, limit_of, pooled, values_in
from hostemu.fitting.choice import best_fit
from hostemu.fitting.models import Model, Named, constant

MEMORY_FORMS = ("constant", "linear", "knee")
"""A guest takes what it has touched: always the same, more with its configured memory, or more up to some size."""

LOAD_FORMS = ("constant", "linear")
"""A guest takes more with every terminal, or has taken all that it will ever take before the first."""

ROOM_FORMS = ("quotient", "room")
"""Guests fit into a budget one beside the other; what they share may be a floor below them."""


def memory_models(summary: Summary, backend: str) -> Iterator[Named]:
    """Every model of memory of a backend that a campaign's figures allow."""
    yield from _fitted(f"memory-{backend}", "memory_bytes", "configured_bytes", backend, *_by_size(summary, backend))
    for name, quantity in (("load", "memory_bytes"), ("load-kernel", "terminals_kernel_bytes")):
        points = _by_terminals(summary, backend, quantity)
        yield from _fitted(f"{name}-{backend}", quantity, "terminals", backend, *points, LOAD_FORMS)
    yield from _room(summary, backend)
    for name, quantity in (("guest", "guest_bytes"), ("guest-marginal", "guest_marginal_bytes")):
        values = pooled(summary, "guests", backend, quantity)
        if values and min(values) > 0:
            yield f"{name}-{backend}", constant(quantity, backend, values)
    yield from _terminals(summary, backend)


def _fitted(
    name: str,
    quantity: str,
    over: str,
    backend: str,
    x: list[float],
    y: list[float],
    forms: tuple[str, ...] = MEMORY_FORMS,
) -> Iterator[Named]:
    """The model, or why these points make none; nothing where nothing was measured."""
    if x:
        try:
            yield name, Model(quantity, over, backend, best_fit(forms, x, y))
        except InputError as error:
            yield name, f"{error.message}: {error.found}"


def _by_size(summary: Summary, backend: str) -> Points:
    """(configured bytes, bytes taken) of every repeat."""
    x: list[float] = []
    y: list[float] = []
    for cell in cells_of(summary, "memory", backend):
        values = values_in(cell, "memory_bytes")
        x += [float(parse_size_bytes(cell["parameters"]["memory"]))] * len(values)
        y += values
    return x, y


def _by_terminals(summary: Summary, backend: str, quantity: str) -> Points:
    x: list[float] = []
    y: list[float] = []
    for cell in cells_of(summary, "load", backend):
        terminals, values = float(cell["parameters"]["terminals"]), values_in(cell, quantity)
        if terminals or quantity == "memory_bytes":  # what none take is nothing, and noise
            x += [terminals] * len(values)
            y += values
    return x, y


def _room(summary: Summary, backend: str) -> Iterator[Named]:
    """Guests over budgets that they filled."""
    x: list[float] = []
    y: list[float] = []
    limits = {}
    for cell in cells_of(summary, "guests", backend):
        values, limit = values_in(cell, "guests"), limit_of(cell)
        budgets = values_in(cell, "budget_bytes") or _named_budget(cell["parameters"], len(values))
        if values and limit:
            limits[f"at least {min(values):,.0f} guests"] = limit
        elif len(values) == len(budgets):
            x += budgets
            y += values
    yield from _fitted(f"guests-{backend}", "guests", "budget_bytes", backend, x, y, ROOM_FORMS)
    if limits and not x:
        yield f"guests-{backend}", "; ".join(f"{found}: {limit}" for found, limit in limits.items())


def _named_budget(parameters: Summary, count: int) -> list[float]:
    """The budget of a cell of a summary that does not have it as a figure."""
    return [float(parse_size_bytes(parameters["budget"]))] * count if "budget" in parameters else []


def _terminals(summary: Summary, backend: str) -> Iterator[Named]:
    """Terminals of one guest: on and off in turn, as in the thesis, or all of them always on."""
    for cell in cells_of(summary, "terminals", backend):
        power = cell["parameters"]["power"]
        quantity = "terminals_per_guest" if power == "cycle" else f"{power}_terminals_per_guest"
        values, limit = values_in(cell, "terminals"), limit_of(cell)
        if values and limit:
            yield f"terminals-{backend}-{power}", f"at least {min(values):,.0f} terminals: {limit}"
        elif values:
            yield f"terminals-{backend}-{power}", constant(quantity, backend, values)
