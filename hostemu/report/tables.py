"""Tables 1 to 4 of the thesis: published, measured here, ratio.

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

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hostemu.base.units import format_size_bytes, parse_size_bytes
from hostemu.measure.definition import BARE_HOST
from hostemu.report import published
from hostemu.report.figures import SCALES, half_width, mean_text
from hostemu.report.ratings import RULES
from hostemu.report.results import NO_PROCESSES, NOT_PART, Results

JSON = dict[str, Any]

NOTHING: JSON = {"is": "nothing"}
THESIS_BUDGET = "2 GiB"
SIZES = (16, 32, 64, 128)


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


def tables(summary: Mapping[str, Any] | None) -> list[TableData]:
    """Tables 1 to 4, and what a campaign measures beyond them; without a campaign, what is published."""
    results = Results(summary)
    made = [
        _throughput(results, "iperf"),
        _throughput(results, "tbench"),
        _memory(results),
        _guests(results),
        _ratings(results),
        _beyond(results),
    ]
    return [table for table in made if table.rows]


def _published(value: float | None, unit: str) -> JSON:
    return NOTHING if value is None else {"is": "published", "value": value, "unit": unit}


def _measured(results: Results, figure: str, backend: str, quantity: str, **parameters: Any) -> JSON:
    """What was measured, or why nothing was; nothing where the campaign has no such cell."""
    cell = results.cell(figure, backend, **parameters)
    if cell is None:
        return {"is": "reason", "text": NOT_PART} if results.lacks(figure, backend) else NOTHING
    instead = quantity.replace("iperf_", "iperf3_")
    name = quantity if quantity in cell["quantities"] else instead
    found = cell["quantities"].get(name)
    if found is None:
        return {"is": "reason", "text": cell["reason"] or NO_PROCESSES}
    warnings = [*found["warnings"], *cell["warnings"]]
    program = None if name == quantity else name.partition("_")[0]
    at_least = name == figure and results.is_limited(cell)
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


def _ratio(measured: JSON, published_cell: JSON) -> JSON:
    """Measured over published; nothing where another program measured."""
    if measured["is"] != "measured" or measured["instead"] or published_cell["is"] != "published":
        return NOTHING
    return {"is": "ratio", "value": measured["mean"] / published_cell["value"]}


def _throughput(results: Results, program: str) -> TableData:
    scale = SCALES["bit/s"]
    table = TableData(
        f"Table 1: throughput host – guest by {program}, {scale.unit}",
        ["published (2008)", "measured, direct", "ratio", "measured, through GINE", "ratio"],
        notes=_throughput_notes(results, program),
    )
    for backend in results.names():
        value = _published(published.throughput_bps(program, backend), "bit/s")
        direct = _measured(results, program, backend, f"{program}_bps", wiring=results.direct(backend))
        gine = (
            NOTHING if backend == BARE_HOST else _measured(results, program, backend, f"{program}_bps", wiring="gine")
        )
        table.add(backend, [value, direct, _ratio(direct, value), gine, _ratio(gine, value)])
    return table


def _throughput_notes(results: Results, program: str) -> list[str]:
    notes = ["published: 100 clients, 30 s, mean of 10 runs"]
    settings = results.settings(program)
    if settings:
        said = f"{settings['clients']} clients, {settings['duration']}, {settings['memory']} per guest"
        notes.append(f"measured: {said}; the bare host's figure is its loopback")
    return notes


def _memory(results: Results) -> TableData:
    table = TableData(
        "Table 2: host memory of one guest, MiB",
        ["published (2008)", "measured", "ratio", "marginal cost"],
        notes=[
            "published: read off `top`; a size without a figure does not start",
            "measured: the guest's processes, shared pages and address spaces once, files on tmpfs, page tables",
            "marginal cost: what each of some further guests took of the machine's available memory",
        ],
    )
    sizes = dict.fromkeys([*(size << 20 for size in SIZES), *map(parse_size_bytes, results.sizes())])
    for backend in results.guests():
        for size in sizes:
            name = format_size_bytes(size)
            value = _published(published.memory_bytes(backend, size), "B")
            own = _measured(results, "memory", backend, "memory_bytes", memory=name)
            marginal = _measured(results, "memory", backend, "memory_marginal_bytes", memory=name)
            marginal = NOTHING if marginal["is"] == "reason" else marginal
            table.add(f"{backend} {name}", [value, own, _ratio(own, value), marginal])
    return table


def _guests(results: Results) -> TableData:
    budgets = results.budgets()
    named = [f"within {budget}" for budget, _ in budgets]
    table = TableData(
        "Table 3: number of guests of 32 MB",
        ["published (2008), 2 GB", *(word for name in named for word in (f"measured, {name}", "MiB each")), "ratio"],
        notes=["published: started until one failed"],
    )
    for backend in results.guests():
        value = _published(published.guests(backend), "")
        cells, ratio = [], NOTHING
        for budget, parameters in budgets:
            number = _measured(results, "guests", backend, "guests", **parameters)
            each = _measured(results, "guests", backend, "guest_bytes", **parameters)
            cells += [number, NOTHING if each["is"] == "reason" else each]
            ratio = _ratio(number, value) if budget == THESIS_BUDGET else ratio
            table.notes += [
                f"{backend}, within {budget}: ended by {note}" for note in results.notes(backend, parameters)
            ]
        table.add(backend, [value, *(cells or [NOTHING]), ratio])
    if not budgets:
        table.headings.insert(1, "measured")
    return table


def _ratings(results: Results) -> TableData:
    table = TableData(
        "Table 4: ratings",
        list(RULES),
        notes=[
            "by a rule of ours, since the thesis gives none, from the figures measured here; "
            "in brackets the same rule's mark for the published figure, and the × that the thesis prints",
            *(f"{column}: {rule.text()}" for column, rule in RULES.items()),
        ],
    )
    for backend in results.guests():
        table.add(backend, [_rating(results, backend, column) for column in RULES])
    return table


def _rating(results: Results, backend: str, column: str) -> JSON:
    rule = RULES[column]
    here, there = results.rated(column, backend), _published_rated(column, backend)
    printed = "×" if published.is_worst(backend, column) else None
    if here is None and there is None and printed is None:
        return NOTHING
    return {
        "is": "rating",
        "measured": None if here is None else rule.mark(here),
        "published": None if there is None else rule.mark(there),
        "printed": printed,
        "figure": here,
    }


def _published_rated(column: str, backend: str) -> float | None:
    """The figure that a rule is applied to, from the thesis; None where it has none."""
    if column == "throughput":
        shares = [_share(program, backend) for program in ("iperf", "tbench")]
        known = [share for share in shares if share is not None]
        return sum(known) / len(known) if known else None
    if column == "memory":
        value = published.memory_bytes(backend, 32 << 20)
        return None if value is None else value / (32 << 20)
    return published.guests(backend) if column == "guests" else None


def _share(program: str, backend: str) -> float | None:
    own = published.throughput_bps(program, backend)
    best = max(filter(None, (published.throughput_bps(program, other) for other in published.BACKENDS)))
    return None if own is None else own / best


def _beyond(results: Results) -> TableData:
    table = TableData("Beyond the tables", ["published (2008)", "measured", "ratio"])
    for backend in results.names():
        for name, cells in _beyond_rows(results, backend):
            table.add(f"{backend}: {name}", cells)
    return table


def _beyond_rows(results: Results, backend: str) -> Iterator[tuple[str, list[JSON]]]:
    threads = _published(published.terminals(backend), "")
    terminals = _measured(results, "terminals", backend, "terminals", power="cycle")
    yield "terminals in one 32 MB guest", [threads, terminals, _ratio(terminals, threads)]
    all_on = _measured(results, "terminals", backend, "terminals", power="on")
    yield "the same, all of them always on", [NOTHING, all_on, NOTHING]
    yield "boot, s", [NOTHING, _measured(results, "boot", backend, "boot_s"), NOTHING]
    for wiring in results.wirings(backend):
        packets = _measured(results, "packets", backend, "packets_per_s", wiring=wiring)
        yield f"small packets, thousand/s, {wiring}", [NOTHING, packets, NOTHING]
    yield "steps from nothing to a ping", [NOTHING, _measured(results, "ease", backend, "steps"), NOTHING]
