"""`hostemu simulate`: play a scenario in SimPy, or by the compiled engine for large fleets."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from hostemu.base.errors import InputError
from hostemu.cli.costing import DEFAULT_BACKEND, ModelBackendOption, ModelOption, costs_from
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
    summary_table,
    terminals_override,
    write_json,
)
from hostemu.cli.progress import RunDisplay
from hostemu.cli.run import show_workload
from hostemu.cli.sweeping import sweep
from hostemu.fitting import find_models, holds_models
from hostemu.measure.costs import Costs
from hostemu.runner.play import play_simulated
from hostemu.runner.workload import simulate_workload
from hostemu.scenario import load_scenario
from hostemu.scenario.workload import is_workload, load_workload
from hostemu.sim import EngineName
from hostemu.sim.sweep import BACKEND, CHOSEN

RUNS = Path("runs")


def simulate(
    scenario: ScenarioArgument,
    model: ModelOption = None,
    backend: ModelBackendOption = DEFAULT_BACKEND,
    terminals: TerminalsOption = None,
    engine: Annotated[
        EngineName, typer.Option(help="What plays it; auto takes the compiled engine for large fleets.")
    ] = EngineName.AUTO,
    settings: SetOption = None,
    seed: SeedOption = None,
    time_scale: ScaleOption = 1.0,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Folder for this run's own folder, runs by default; of several runs: their folder, sweeps/SCENARIO.",
        ),
    ] = None,
    trace: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write every frame and event, a line each.")
    ] = None,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            "--sweep",
            metavar="KEY=VALUE,VALUE…",
            help="Play it with each of these values; again for more keys. host.backend and host.cores are keys.",
        ),
    ] = None,
    replications: Annotated[
        int, typer.Option(min=1, help="Play it with so many seeds, from the scenario's on; means get intervals.")
    ] = 1,
    dask: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Share several runs on a Dask cluster; by default on this machine's cores."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--continue", help="Go on with the runs that are there.")] = False,
    json: JsonOption = None,
) -> None:
    """Play a scenario simulated: the same protocol, lines and random numbers, no guests."""
    if is_workload(scenario):
        path, record = simulate_workload(load_workload(scenario, overrides(settings, seed)), output or RUNS)
        show_workload(path, record, json)
        return
    changes = [*overrides(settings, seed), *terminals_override(terminals)]
    if axes or replications > 1:
        _refuse_trace(trace)
        sweep(
            scenario,
            changes,
            axes or [],
            replications,
            costs_of=partial(_costs_of, model, backend),
            engine=engine,
            time_scale=time_scale,
            output=output,
            resume=resume,
            address=dask,
            json=json,
        )
        return
    _refuse_alone(dask=dask is not None, resume=resume)
    costs = costs_from(model, backend)
    plan = load_scenario(scenario, changes)
    with progress_bar(f"{plan.name}: {plan.fleet.terminals} terminals, simulated") as progress:
        result = play_simulated(plan, output or RUNS, time_scale, costs, trace, RunDisplay(progress), engine)
    write_json(json, result.summary)
    console = results_console(json)
    console.print(summary_table(result.summary))
    console.print(f"record: {result.record}", highlight=False, soft_wrap=True)


def _costs_of(model: str | None, chosen: str, wanted: str) -> Costs:
    """What actions cost on guests of the backend that a sweep wants, CHOSEN or another."""
    if wanted != CHOSEN and (model is None or not holds_models(find_models(model))):
        raise InputError(
            f"{BACKEND}={wanted}: what actions cost there is not known",
            expected="--model with a file of several backends' models, such as models.toml",
            found="no --model" if model is None else f"{model}, the costs of one kind of guest",
            hint="`hostemu calibrate models` makes one",
        )
    return costs_from(model, wanted or chosen)


def _refuse_trace(trace: Path | None) -> None:
    if trace is not None:
        raise InputError("a trace is of one run", expected="--trace without --sweep and --replications")


def _refuse_alone(*, dask: bool, resume: bool) -> None:
    """Options that mean something for several runs only."""
    for name, is_given in (("--dask", dask), ("--continue", resume)):
        if is_given:
            raise InputError(f"{name} is for several runs", expected="--sweep or --replications beside it")
