"""`hostemu size`: what a retrieval in a given time needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from hostemu.base.units import parse_duration_ns
from hostemu.cli.output import (
    JsonOption,
    SeedOption,
    SetOption,
    TerminalsOption,
    overrides,
    progress_bar,
    results_console,
    terminals_override,
    write_json,
)
from hostemu.cli.progress import RunDisplay
from hostemu.measure.costs import NO_COSTS, load_costs
from hostemu.scenario import load_scenario
from hostemu.sim.sizing import HEADROOM, Played, Sizing, require_sensible
from hostemu.sim.sizing import size as size_of


def size(
    within: Annotated[
        str, typer.Option(metavar="DURATION", help='When the last terminal must be retrieved: "120 s".')
    ],
    scenario: Annotated[
        str, typer.Argument(help="A scenario file, or the name of a shipped scenario.")
    ] = "thesis-uml",
    terminals: TerminalsOption = None,
    model: Annotated[
        Path | None,
        typer.Option(help="Cost model made by `hostemu calibrate costs`; without it CPU time is not known."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Seeds that each answer is the mean of.")] = 5,
    settings: SetOption = None,
    seed: SeedOption = None,
    json: JsonOption = None,
) -> None:
    """Say how many terminals must be contacted at a time, how many ISP servers that takes, and what limits it."""
    plan = load_scenario(scenario, [*overrides(settings, seed), *terminals_override(terminals)])
    within_s = parse_duration_ns(within) / 1e9
    require_sensible(within_s, plan)
    costs = NO_COSTS if model is None else load_costs(model)
    with progress_bar(f"{plan.name}: {plan.fleet.terminals} terminals within {within_s:g} s") as progress:
        sizing = size_of(plan, within_s, costs, seeds, RunDisplay(progress))
    write_json(
        json, {"scenario": plan.name, "terminals": plan.fleet.terminals, "within_s": within_s, **asdict(sizing)}
    )
    console = results_console(json)
    table = Table(title=f"{plan.fleet.terminals} terminals within {within_s:g} s", show_header=False)
    for name, value in _rows(sizing, plan.retrieval.list_size, known=model is not None):
        table.add_row(name, value)
    console.print(table)


def _rows(sizing: Sizing, list_size: int, *, known: bool) -> Iterator[tuple[str, str]]:
    yield "quickest possible", f"{_time(sizing.best)}, all terminals in contact at once"
    yield "ISP server programs", f"{sizing.programs}, with lists of {list_size}"
    used = sizing.chosen
    if used is None:
        yield "answer", "[bold red]not possible[/]"
    else:
        yield "contacts at a time", f"{used.concurrency} per program, {used.concurrency * sizing.programs} together"
        yield "time", _time(used)
        yield "retrieved", f"{used.retrieved:.3%} at least"
    if known:
        yield "ISP servers", f"{sizing.isp_servers}, each core busy for at most {HEADROOM:.0%} of the time"
        yield "center", f"{sizing.center_share:.1%} of a core"
    else:
        yield "ISP servers", "not known without --model"
    yield "bottleneck", sizing.bottleneck


def _time(played: Played) -> str:
    spread = "" if played.interval is None else f" ± {played.interval.half_width:.1f}"
    return f"{played.time_s:.1f}{spread} s"
