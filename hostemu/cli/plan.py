"""`hostemu plan`: what a real run will need here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

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
    write_json,
)
from hostemu.cli.progress import RunDisplay
from hostemu.cli.run import KernelOption, OutputOption
from hostemu.fitting.models import Models, load_models, require_host
from hostemu.measure.host import host_facts
from hostemu.report.plan import as_tables
from hostemu.runner.forecast.kept import keep_forecast, keep_models, kept_models
from hostemu.runner.forecast.measuring import measure as measure_parts
from hostemu.runner.forecast.predict import Forecast, Twin, forecast, play_twin
from hostemu.runner.forecast.room import limits_of, no_room, refusals
from hostemu.runner.play import OnEvent, require_playable
from hostemu.scenario import Scenario, load_scenario

MEASURED, KEPT = "measured just now", "measured earlier on this machine"


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
        Path | None, typer.Option(help="Models that an earlier `hostemu plan` has made of this scenario.")
    ] = None,
    measure: Annotated[
        bool | None,
        typer.Option(
            "--measure/--no-measure",
            help="Play the scenario in small to learn what its parts need, a minute or two; by default where"
            " that was not done before. Without, only the kernel's limits are looked at.",
        ),
    ] = None,
    json: JsonOption = None,
) -> None:
    """Say what a real run will need here: memory, CPU time, time, limits; exit code 3 when it does not fit."""
    asked = load_scenario(scenario, [*overrides(settings, seed), *terminals_override(terminals)])
    found = None
    with progress_bar(f"{asked.name}: {asked.fleet.terminals} terminals on {asked.guests} guests") as progress:
        display = RunDisplay(progress)
        backend = require_playable(asked, backend, kernel, display)
        if model is not None or measure is not False:
            twin = play_twin(asked, time_scale)
            models, origin = _models(asked, backend, kernel, time_scale, twin, model, measure, display)
            found = forecast(asked, twin, models, backend)
        limits = limits_of(asked, backend, None if found is None else found.memory_bytes.value)
    reasons = list(refusals(limits, found, output))
    result = _result(asked, backend, time_scale, found, "" if found is None else origin)
    result |= {"limits": [limit.as_json() for limit in limits], "refused": reasons}
    if found is not None:
        keep_forecast(result, asked, backend, time_scale)
    write_json(json, result)
    console = results_console(json)
    for table in as_tables(result):
        console.print(table)
    if reasons:
        raise no_room(reasons, "; ".join(dict.fromkeys(limit.fix for limit in limits if limit.is_hit)))


def _models(
    scenario: Scenario,
    backend: str,
    kernel: Path | None,
    time_scale: float,
    twin: Twin,
    model: Path | None,
    measure: bool | None,
    on_event: OnEvent,
) -> tuple[Models, str]:
    """The models to plan by, and where they come from."""
    if model is not None:
        models = load_models(model)
        require_host(models, host_facts(), model)
        return models, str(model)
    kept = None if measure else kept_models(scenario, backend)
    if kept is not None:
        return kept, KEPT
    models = measure_parts(scenario, backend, kernel, time_scale, twin, on_event)
    keep_models(models, scenario, backend)
    return models, MEASURED


def _result(
    scenario: Scenario, backend: str, time_scale: float, found: Forecast | None, origin: str
) -> dict[str, Any]:
    return {
        "scenario": scenario.name,
        "backend": backend,
        "terminals": scenario.fleet.terminals,
        "guests": scenario.guests,
        "seed": scenario.seed,
        "time_scale": time_scale,
        "origin": origin,
        **({} if found is None else found.as_json()),
    }
