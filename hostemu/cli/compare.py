"""`hostemu compare`: records side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hostemu.cli.output import JsonOption, results_console, write_json
from hostemu.records import read_record, summary
from hostemu.report.compare import as_markdown, as_table
from hostemu.report.compare import compare as compare_summaries


def compare(
    records: Annotated[list[Path], typer.Argument(help="Record files, or folders that hold record.h5 files.")],
    json: JsonOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables for a document.")] = False,
) -> None:
    """Show runs of a scenario side by side: published (table 5 of the thesis), measured, simulated, difference."""
    comparisons = compare_summaries([summary(read_record(path)) for path in _files(records)])
    write_json(json, comparisons)
    console = results_console(json)
    for comparison in comparisons:
        if markdown:
            typer.echo(as_markdown(comparison), err=console.stderr)
        else:
            console.print(as_table(comparison))


def _files(paths: list[Path]) -> list[Path]:
    """Folders stand for the record.h5 files below them; files for themselves."""
    files: list[Path] = []
    for path in paths:
        files += sorted(path.rglob("record.h5")) if path.is_dir() else [path]
    return files
