"""`hostemu plan`: what a real run will need here."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from hostemu.base.errors import InputError
from hostemu.cli.output import (
    JsonOption,
    ScaleOption,
    ScenarioArgument,
    SeedOption,
    SetOption,
    TerminalsOption,
    overrides,
    progress_bar,
    results_console,
    terminals_override,
    whole_numbers,
    write_json,
)
from hostemu.cli.progress import RunDisplay
from hostemu.cli.run import KernelOption, OutputOption
from hostemu.report.plan import as_tables
from hostemu.runner.forecast.files import read_given
from hostemu.runner.forecast.kept import forecast_path, keep_forecast
from hostemu.runner.forecast.measuring import Means, find_models
from hostemu.runner.forecast.predict import forecast, play_twin
from hostemu.runner.forecast.room import is_hopeless, limits_of, no_room, refusals
from hostemu.runner.forecast.small import Asked, Sizes
from hostemu.runner.play import OnEvent, require_playable
from hostemu.scenario import load_scenario

MeasureOption = Annotated[
    bool | None,
    typer.Option(
        "--measure/--no-measure",
        help="Play the scenario in small to learn what its parts need, some three minutes; by default where that was"
        " not done before. Never: then limits alone may be known.",
    ),
]


def plan(
    scenario: ScenarioArgument,
    backend: Annotated[str, typer.Option(help="What the guests are; auto: kvm where it works, else qemu.")] = "netns",
    kernel: KernelOption = None,
    terminals: TerminalsOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    time_scale: ScaleOption = 1.0,
    output: OutputOption = Path("runs"),
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="What actions cost, as for `hostemu simulate`, or models that a plan has made; repeatable.",
        ),
    ] = None,
    measure: MeasureOption = None,
    sizes: Annotated[
        str, typer.Option(metavar="N,N…", help="Numbers of guests that are played to measure.")
    ] = "1,3,8",
    repeats: Annotated[int, typer.Option(min=1, help="How often each of them is played at either pace.")] = 1,
    json: JsonOption = None,
) -> None:
    """Say what a real run will need here: memory, CPU time, time, limits; exit code 3 when it does not fit."""
    playing = load_scenario(scenario, [*overrides(settings, seed), *terminals_override(terminals)])
    if playing.real_guests != playing.guests:
        raise InputError(
            "no model knows what simulated guests among real ones use",
            expected="a scenario without hosts.real_guests",
            found=str(playing.hosts.real_guests),
        )
    tried = Sizes(whole_numbers("--sizes", sizes), repeats)
    title = f"{playing.name}: {playing.fleet.terminals} terminals on {playing.guests} guests"
    with progress_bar(title) as progress:
        display = RunDisplay(progress)
        asked = Asked(playing, require_playable(playing, backend, kernel, display), time_scale, kernel)
        means = Means(read_given(model or [], asked.backend), measure, tried)
        result = _result(asked, means, output, display)
    write_json(json, result)
    console = results_console(json)
    for table in as_tables(result):
        console.print(table)
    if result["refused"]:
        fixes = dict.fromkeys(limit["fix"] for limit in result["limits"] if limit["fix"] and not limit["only_if"])
        raise no_room(result["refused"], "; ".join(fixes))


def _result(asked: Asked, means: Means, output: Path, on_event: OnEvent) -> dict[str, Any]:
    """The plan as plain data, kept for the run if it says what that will need; limits only, where they suffice."""
    scenario, backend = asked.scenario, asked.backend
    result = {
        "scenario": scenario.name,
        "backend": backend,
        "terminals": scenario.fleet.terminals,
        "guests": scenario.guests,
        "seed": scenario.seed,
        "time_scale": asked.time_scale,
    }
    found = None
    limits = limits_of(scenario, backend)
    if not is_hopeless(limits):
        twin = play_twin(scenario, asked.time_scale, means.given.costs)
        result["twin"] = asdict(twin)
        if (known := find_models(asked, twin, means, on_event)) is not None:
            models, origin = known
            found = forecast(scenario, twin, models, backend)
            result |= {"origin": origin, **found.as_json()}
            limits = limits_of(scenario, backend, found.memory_bytes.value)
    result["limits"] = [limit.as_json() for limit in limits]
    result["refused"] = list(refusals(limits, found, output))
    if found is not None:
        keep_forecast(result, forecast_path(scenario, backend, asked.time_scale, asked.kernel))
    return result
