"""What verbs share: options, progress on standard error, results as tables or JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from hostemu.base.errors import InputError
from hostemu.report.use import use_rows

JsonOption = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write the result as JSON; - is standard output.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help='Override a key of the scenario, e.g. --set lines.isp.delay="5 ms".'
    ),
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0, help="Override the scenario's seed.")]
ScaleOption = Annotated[
    float,
    typer.Option("--time-scale", min=0.001, max=10_000, help="Play all durations this many times faster."),
]
TerminalsOption = Annotated[
    float | None, typer.Option("--terminals", min=1, help="Override the number of terminals; 2e6 is two millions.")
]
ScenarioArgument = Annotated[str, typer.Argument(help="A scenario file, or the name of a shipped scenario.")]


def overrides(settings: list[str] | None, seed: int | None) -> list[str]:
    """The list of --set values, with --seed as one more."""
    return [*(settings or []), *([] if seed is None else [f"seed={seed}"])]


def terminals_override(number: float | None) -> list[str]:
    """--terminals as one more --set value; InputError when it is no whole number."""
    if number is None:
        return []
    if not number.is_integer():
        raise InputError("there is no part of a terminal", expected="a whole number", found=f"--terminals {number}")
    return [f"fleet.terminals={int(number)}"]


def whole_numbers(option: str, text: str | None) -> tuple[int, ...]:
    """The numbers of an option such as 400,800: each once, in order; InputError for anything else."""
    try:
        found = tuple(sorted({int(float(part)) for part in (text or "").split(",")}))
    except (ValueError, OverflowError):
        found = ()
    if not found or found[0] < 1:
        raise InputError(f"{option} names no numbers above 0", expected="such as 400,800,1600", found=repr(text))
    return found


def write_json(target: Path | None, value: Any) -> None:
    """Write a result to a file (whole or not at all) or to standard output; nothing without a target."""
    if target is None:
        return
    text = json.dumps(value, indent=2, sort_keys=True) + "\n"
    if str(target) == "-":
        sys.stdout.write(text)
        return
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(text)
        draft.replace(target)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise InputError(
            f"cannot write {target}: {error.strerror}", hint="name a file in a writable folder"
        ) from error


def results_console(json_target: Path | None) -> Console:
    """Where tables go: standard output, unless that carries the JSON."""
    return Console(stderr=json_target is not None and str(json_target) == "-")


@contextmanager
def progress_bar(title: str, *, eta: bool = False) -> Iterator[Progress]:
    """A progress display on standard error that disappears when done; eta: with the time that is left."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *((TextColumn("left"), TimeRemainingColumn()) if eta else ()),
        TextColumn("{task.fields[note]}"),
    )
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        progress.console.print(title) if console.is_terminal else console.print(title, highlight=False)
        yield progress


def summary_table(summary: dict[str, Any]) -> Table:
    """One run's result for a terminal."""
    title = f"{summary['scenario']}, {summary['mode']}" + (
        f" on {summary['backend']} guests" if summary["mode"] == "real" else ""
    )
    table = Table(title=title, show_header=False)
    table.add_column(style="bold")
    table.add_column()
    for name, value in _summary_rows(summary):
        table.add_row(name, value)
    return table


def _summary_rows(summary: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield "terminals", str(summary["terminals"])
    yield "retrieved", f"{summary['retrieved']} ({summary['retrieved'] / max(1, summary['terminals']):.2%})"
    failed = ", ".join(f"{reason} {count}" for reason, count in summary["failed"].items())
    yield "failed", failed or "0"
    yield "time", f"{summary['makespan_s']:.1f} s" + _scale_note(summary["time_scale"])
    quantiles = summary["time_to_retrieve_s"]
    yield (
        "time to retrieve",
        ", ".join(f"{name} {value:.1f} s" for name, value in quantiles.items() if value is not None),
    )
    yield "attempts per terminal", f"{summary['attempts']['mean']:.2f}"
    yield "seed", str(summary["seed"])
    yield from use_rows(summary)
    verdict = summary["verdict"]
    yield "verdict", "[green]valid[/]" if verdict == "valid" else "[bold red]INVALID[/]: " + "; ".join(verdict)


def _scale_note(scale: float) -> str:
    return "" if scale == 1 else f" of scenario time (played 1:{scale:g})"
