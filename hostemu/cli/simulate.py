"""`hostemu simulate`: play a scenario in SimPy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hostemu.cli.output import (
    JsonOption,
    ScaleOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    overrides,
    progress_bar,
    results_console,
    summary_table,
    write_json,
)
from hostemu.cli.progress import RunDisplay
from hostemu.runner.play import play_simulated
from hostemu.scenario import load_scenario


def simulate(
    scenario: ScenarioArgument,
    model: Annotated[
        Path | None,
        typer.Option(help="Cost model made by `hostemu calibrate costs`; without it computation costs no time."),
    ] = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    time_scale: ScaleOption = 1.0,
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for this run's own folder.")] = Path(
        "runs"
    ),
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every frame and event, a line each.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Play a scenario simulated: the same protocol, lines and random numbers, no guests."""
    plan = load_scenario(scenario, overrides(settings, seed))
    with progress_bar(f"{plan.name}: {plan.fleet.terminals} terminals, simulated") as progress:
        result = play_simulated(plan, output, time_scale, model, trace, RunDisplay(progress))
    write_json(json, result.summary)
    console = results_console(json)
    console.print(summary_table(result.summary))
    console.print(f"record: {result.record}", highlight=False, soft_wrap=True)
