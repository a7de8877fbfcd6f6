"""`hostemu simulate`: play a scenario in SimPy, or by the compiled engine for large fleets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hostemu.base.errors import InputError
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
from hostemu.sim import EngineName


def simulate(
    scenario: ScenarioArgument,
    model: Annotated[
        Path | None,
        typer.Option(help="Cost model made by `hostemu calibrate costs`; without it computation costs no time."),
    ] = None,
    terminals: Annotated[
        float | None, typer.Option(min=1, help="Override the number of terminals; 2e6 is two millions.")
    ] = None,
    engine: Annotated[
        EngineName, typer.Option(help="What plays it; auto takes the compiled engine for large fleets.")
    ] = EngineName.AUTO,
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
    plan = load_scenario(scenario, [*overrides(settings, seed), *_terminals(terminals)])
    with progress_bar(f"{plan.name}: {plan.fleet.terminals} terminals, simulated") as progress:
        result = play_simulated(plan, output, time_scale, model, trace, RunDisplay(progress), engine)
    write_json(json, result.summary)
    console = results_console(json)
    console.print(summary_table(result.summary))
    console.print(f"record: {result.record}", highlight=False, soft_wrap=True)


def _terminals(number: float | None) -> list[str]:
    """The number of terminals as one more --set value."""
    if number is None:
        return []
    if not number.is_integer():
        raise InputError("there is no part of a terminal", expected="a whole number", found=f"--terminals {number}")
    return [f"fleet.terminals={int(number)}"]
