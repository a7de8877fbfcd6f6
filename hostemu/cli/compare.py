"""`hostemu compare`: records side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from hostemu.cli.output import JsonOption, results_console, write_json
from hostemu.records import read_record, summary
from hostemu.records.workload import NAME, read_workload
from hostemu.report.compare import as_markdown, as_table
from hostemu.report.compare import compare as compare_summaries
from hostemu.report.plan_checks import checked, checks_as_markdown, checks_as_tables, means
from hostemu.report.workload import as_markdown as workload_as_markdown
from hostemu.report.workload import as_table as workload_as_table
from hostemu.report.workload import compared, summary_of


def compare(
    records: Annotated[list[Path], typer.Argument(help="Record files, or folders that hold record.h5 files.")],
    plans: Annotated[
        bool, typer.Option("--plans", help="Show instead what each run used, beside what was planned for it.")
    ] = False,
    json: JsonOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables for a document.")] = False,
) -> None:
    """Show runs of a scenario side by side: published (table 5 of the thesis), measured, simulated, difference."""
    files = _files(records)
    summaries = [summary(read_record(path)) for path in files if path.name != NAME]
    if plans:
        _show_plans(summaries, json, markdown)
        return
    workloads = [summary_of(read_workload(path)) for path in files if path.name == NAME]
    comparisons = compare_summaries(summaries)
    write_json(json, [*comparisons, *workloads])
    console = results_console(json)
    _show_workloads(workloads, console, markdown)
    for comparison in comparisons:
        if markdown:
            typer.echo(as_markdown(comparison), err=console.stderr)
        else:
            console.print(as_table(comparison))


def _show_workloads(summaries: list[dict[str, Any]], console: Console, markdown: bool) -> None:
    for name, heading, rows in compared(summaries):
        if markdown:
            typer.echo(workload_as_markdown(name, heading, rows), err=console.stderr)
        else:
            console.print(workload_as_table(name, heading, rows))


def _show_plans(summaries: list[dict[str, Any]], json: Path | None, markdown: bool) -> None:
    checks = checked(summaries)
    write_json(json, {"runs": checks, "means": means(checks)})
    console = results_console(json)
    if markdown:
        typer.echo(checks_as_markdown(checks), err=console.stderr)
        return
    for table in checks_as_tables(checks):
        console.print(table)


def _files(paths: list[Path]) -> list[Path]:
    """Folders stand for the records below them, of scenarios and workloads; files for themselves."""
    files: list[Path] = []
    for path in paths:
        files += sorted([*path.rglob("record.h5"), *path.rglob(NAME)]) if path.is_dir() else [path]
    return files
