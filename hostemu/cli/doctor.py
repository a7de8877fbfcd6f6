"""`hostemu doctor`: what this machine can run."""

from __future__ import annotations

from rich.table import Table

from hostemu.base.errors import HostError
from hostemu.cli.output import JsonOption, progress_bar, results_console, write_json
from hostemu.runner.doctor import Finding, examine

NEEDED = ("lab", "backend netns")


def doctor(json: JsonOption = None) -> None:
    """Try what a run needs on this machine; exit code 3 when a real run is not possible."""
    with progress_bar("examining this machine"):
        findings = list(examine())
    write_json(json, [finding.as_json() for finding in findings])
    results_console(json).print(_table(findings))
    lacking = [finding for finding in findings if finding.name in NEEDED and not finding.usable]
    if lacking:
        raise HostError(
            "this machine cannot play scenarios for real", found=lacking[0].detail, hint=lacking[0].fix or "see above"
        )


def _table(findings: list[Finding]) -> Table:
    table = Table()
    for heading in ("", "usable", "found", "to do"):
        table.add_column(heading, overflow="fold")
    for finding in findings:
        mark = "[green]yes[/]" if finding.usable else "[red]no[/]"
        table.add_row(finding.name, mark, finding.detail, finding.fix)
    return table
