"""`hostemu doctor`: what this machine can run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hostemu.base.errors import HostError
from hostemu.cli.output import JsonOption, progress_bar, results_console, write_json
from hostemu.guests import AUTO
from hostemu.guests import backend as find_backend
from hostemu.measure.limits import MOST_GUESTS, THESIS, Limit, Plan
from hostemu.runner.doctor import Finding, Report, Size, diagnose
from hostemu.runner.tools import install_hint

NEEDED = ("lab", "backend netns")
MOST_TERMINALS = 1_000_000

GuestsOption = Annotated[
    int | None, typer.Option("--guests", min=1, max=MOST_GUESTS, help="Also show the limits for this many guests.")
]
TerminalsOption = Annotated[
    int, typer.Option("--terminals-per-guest", min=0, max=MOST_TERMINALS, help="Terminals in each guest.")
]
BackendOption = Annotated[str, typer.Option("--backend", help="The kind of guests whose limits are shown.")]


def doctor(
    guests: GuestsOption = None,
    terminals_per_guest: TerminalsOption = THESIS.terminals_per_guest,
    backend: BackendOption = "netns",
    json: JsonOption = None,
) -> None:
    """Try what a run needs on this machine; exit code 3 when a real run is not possible."""
    if backend != AUTO:
        find_backend(backend)
    plans = _plans(guests, terminals_per_guest, backend)
    with progress_bar("examining this machine"):
        report = diagnose(plans)
    write_json(json, [finding.as_json() for finding in report.findings()])
    _show(report, results_console(json))
    lacking = [finding for finding in (report.lab, *report.backends) if finding.name in NEEDED and not finding.usable]
    if lacking:
        raise HostError(
            "this machine cannot play scenarios for real", found=lacking[0].detail, hint=lacking[0].fix or "see above"
        )


def _plans(guests: int | None, terminals: int, backend: str) -> list[Plan]:
    """The thesis' size, and the size that was asked for."""
    thesis = replace(THESIS, backend=backend)
    asked = replace(thesis, guests=guests or thesis.guests, terminals_per_guest=terminals)
    return [thesis] if asked == thesis else [thesis, asked]


def _show(report: Report, console: Console) -> None:
    console.print(_findings_table("backends", "found", [report.lab, *report.backends, report.timers]))
    console.print(_findings_table("programs", "found", report.programs))
    console.print(_limits_table(report.sizes))
    for text in dict.fromkeys(map(Size.room_in_words, report.sizes)):
        console.print(escape(text), highlight=False, soft_wrap=True)
    if steps := dict.fromkeys(_steps(report)):
        console.print("\n[bold]To do[/], for what is missing:", highlight=False)
        for step in steps:
            console.print(f"  {escape(step)}", highlight=False, soft_wrap=True)


def _findings_table(title: str, found: str, findings: Sequence[Finding]) -> Table:
    table = Table("", "usable", found, title=title, title_justify="left")
    for finding in findings:
        mark = "[green]yes[/]" if finding.usable else "[red]no[/]"
        table.add_row(escape(finding.name), mark, escape(finding.detail))
    return table


def _limits_table(sizes: Sequence[Size]) -> Table:
    """A limit a row: what it is here, and what each size needs."""
    cases = dict.fromkeys(limit.only_if for limit in sizes[0].limits if limit.only_if)
    caption = "; ".join(f"* if {case}" for case in cases)
    title = f"limits, and what {sizes[0].plan.backend} guests × terminals need"
    table = Table(title=title, title_justify="left", caption=caption, caption_justify="left")
    table.add_column("limit", no_wrap=True)
    table.add_column("of")
    for heading in ("here", *(f"{size.plan.guests} × {size.plan.terminals_per_guest}" for size in sizes)):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in zip(*(size.limits for size in sizes), strict=True):
        name = f"{row[0].name} *" if row[0].only_if else row[0].name
        table.add_row(escape(name), row[0].what, row[0].shown(row[0].current), *map(_needed, row))
    return table


def _needed(limit: Limit) -> str:
    colour = "green" if limit.ok else "yellow" if limit.only_if else "red"
    return f"[{colour}]{limit.shown(limit.needed)}[/]" + ("" if limit.ok else " !")


def _steps(report: Report) -> Iterator[str]:
    """What the user can do, most important first."""
    for finding in report.backends if report.lab.usable else [report.lab]:
        if not finding.usable and finding.fix:
            yield f"{finding.name}: {finding.fix}"
    if report.timers.fix:
        yield f"{report.timers.name}: {report.timers.fix}"
    lacking = [need for finding in report.programs for need in finding.figures["missing"]]
    if lacking:
        yield f"programs: {install_hint(lacking)}"
    for size in report.sizes:
        for limit in size.limits:
            if not limit.ok:
                case = f" (if {limit.only_if})" if limit.only_if else ""
                yield f"{limit.name}, for {size.plan}{case}: {limit.fix}"
