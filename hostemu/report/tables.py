"""Tables 1 to 4 of the thesis: published, measured here, ratio."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hostemu.base.units import format_size_bytes, parse_size_bytes
from hostemu.measure.definition import BARE_HOST
from hostemu.report import published
from hostemu.report.figures import SCALES
from hostemu.report.ratings import RULES
from hostemu.report.results import Results
from hostemu.report.table_data import JSON, NOTHING, TableData, measured_cell, published_cell, ratio_cell
from hostemu.report.traffic import traffic_tables

THESIS_BUDGET = "2 GiB"
SIZES = (16, 32, 64, 128)


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
        *traffic_tables(results),
    ]
    return [table for table in made if table.rows]


def _throughput(results: Results, program: str) -> TableData:
    scale = SCALES["bit/s"]
    table = TableData(
        f"Table 1: throughput host – guest by {program}, {scale.unit}",
        ["published (2008)", "measured, direct", "ratio", "measured, through GINE", "ratio"],
        notes=_throughput_notes(results, program),
    )
    for backend in results.names():
        value = published_cell(published.throughput_bps(program, backend), "bit/s")
        direct, gine = (
            measured_cell(results, program, backend, f"{program}_bps", wiring=wiring, **results.clients(program))
            for wiring in (results.direct(backend), "gine")
        )
        gine = NOTHING if backend == BARE_HOST else gine
        table.add(backend, [value, direct, ratio_cell(direct, value), gine, ratio_cell(gine, value)])
    return table


def _throughput_notes(results: Results, program: str) -> list[str]:
    notes = ["published: 100 clients, 30 s, mean of 10 runs"]
    settings = results.settings(program)
    if settings:
        said = f"{results.clients_said(program)} clients, {settings['duration']}, {settings['memory']} per guest"
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
            value = published_cell(published.memory_bytes(backend, size), "B")
            own = measured_cell(results, "memory", backend, "memory_bytes", memory=name)
            marginal = measured_cell(results, "memory", backend, "memory_marginal_bytes", memory=name)
            marginal = NOTHING if marginal["is"] == "reason" else marginal
            table.add(f"{backend} {name}", [value, own, ratio_cell(own, value), marginal])
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
        value = published_cell(published.guests(backend), "")
        cells, ratio = [], NOTHING
        for budget, parameters in budgets:
            number = measured_cell(results, "guests", backend, "guests", **parameters)
            each = measured_cell(results, "guests", backend, "guest_bytes", **parameters)
            cells += [number, NOTHING if each["is"] == "reason" else each]
            ratio = ratio_cell(number, value) if budget == THESIS_BUDGET else ratio
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
    threads = published_cell(published.terminals(backend), "")
    terminals = measured_cell(results, "terminals", backend, "terminals", power="cycle")
    yield "terminals in one 32 MB guest", [threads, terminals, ratio_cell(terminals, threads)]
    all_on = measured_cell(results, "terminals", backend, "terminals", power="on")
    yield "the same, all of them always on", [NOTHING, all_on, NOTHING]
    yield "boot, s", [NOTHING, measured_cell(results, "boot", backend, "boot_s"), NOTHING]
    for wiring in results.wirings(backend):
        packets = measured_cell(results, "packets", backend, "packets_per_s", wiring=wiring, **results.smallest())
        yield f"small packets, thousand/s, {wiring}", [NOTHING, packets, NOTHING]
    yield "steps from nothing to a ping", [NOTHING, measured_cell(results, "ease", backend, "steps"), NOTHING]
