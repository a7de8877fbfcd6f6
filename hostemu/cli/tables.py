"""`hostemu tables`: the thesis' tables, published and measured here."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from hostemu.base.errors import InputError
from hostemu.cli.output import JsonOption, results_console, write_json
from hostemu.measure.journal import read_journal
from hostemu.measure.summary import summarise
from hostemu.records import read_record, summary
from hostemu.report import compare, rendering
from hostemu.report.table_data import TableData
from hostemu.report.tables import tables as tables_of
from hostemu.runner.places import BLOCKS, FOLDER, JOURNAL

RUNS = Path("runs")


def tables(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Campaigns, records, or folders of them; by default campaigns/ and runs/ if they exist."),
    ] = None,
    json: JsonOption = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables for a document.")] = False,
) -> None:
    """Show tables 1 to 5 of the thesis: published, measured here, ratio; without results the published figures."""
    found = _find(paths if paths else [folder for folder in (FOLDER, RUNS) if folder.is_dir()])
    campaigns = [(_heading(one), tables_of(one)) for one in found.campaigns] or [("published", tables_of(None))]
    comparisons = compare.compare([summary(read_record(path)) for path in found.records])
    write_json(json, {"campaigns": [_as_json(*campaign) for campaign in campaigns], "table5": comparisons})
    console = results_console(json)
    for text in _markdown(campaigns, comparisons) if markdown else ():
        typer.echo(text, err=console.stderr)
    if not markdown:
        for heading, made in campaigns:
            console.print(f"\n{heading}", style="bold", highlight=False)
            for table in made:
                console.print(rendering.as_table(table))
        for comparison in comparisons:
            console.print(compare.as_table(comparison))


@dataclass
class _Found:
    """Summaries of campaigns, and files of records."""

    campaigns: list[dict[str, Any]] = field(default_factory=list)
    records: list[Path] = field(default_factory=list)


def _find(paths: Sequence[Path]) -> _Found:
    """What is in these files and folders."""
    found = _Found()
    for path in (file for given in paths for file in _files(given)):
        if path.suffix == ".jsonl":
            found.campaigns.append(summarise(read_journal(path)))
        elif path.suffix == ".json":
            found.campaigns.append(_read_summary(path))
        else:
            found.records.append(path)
    return found


def _files(path: Path) -> Iterator[Path]:
    """Folders stand for the journals and records below them; files for themselves."""
    if not path.is_dir():
        yield path
        return
    yield from sorted(path.rglob(JOURNAL))
    yield from sorted(file for file in path.rglob("record.h5") if BLOCKS not in file.parts)


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        document = json_module.loads(path.read_text())
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON", found=str(error)) from None
    if (
        not isinstance(document, dict)
        or not {"cells", "backends", "definition", "campaign", "host"} <= document.keys()
    ):
        raise InputError(f"{path} is no summary of a campaign", expected="what `hostemu calibrate` wrote")
    return document


def _heading(one: dict[str, Any]) -> str:
    """Which campaign, on what machine, when."""
    host = one["host"]
    machine = f"{host.get('cpu_model', '?')}, {host.get('cores', '?')} cores, kernel {host.get('kernel', '?')}"
    return f"campaign {one['campaign']}, {str(one.get('started_at', ''))[:10]}, {machine}"


def _as_json(heading: str, made: list[TableData]) -> dict[str, Any]:
    return {"heading": heading, "tables": [table.as_json() for table in made]}


def _markdown(
    campaigns: Sequence[tuple[str, list[TableData]]], comparisons: Sequence[dict[str, Any]]
) -> Iterator[str]:
    for heading, made in campaigns:
        yield f"## {heading}\n"
        yield from map(rendering.as_markdown, made)
    if comparisons:
        yield "## Table 5\n"
        yield from map(compare.as_markdown, comparisons)
