"""`hostemu validate`: fit on small real runs, predict larger ones, play those too, and tell the error."""

from __future__ import annotations

import os
from collections.abc import Sequence
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
    whole_numbers,
    write_json,
)
from hostemu.cli.progress import RunDisplay
from hostemu.fitting import costs_from_models, thesis_models
from hostemu.report.compare import published_row
from hostemu.report.published import thesis
from hostemu.report.validation import JSON, as_markdown, as_table, published_run, results
from hostemu.runner.validation import Plan, Trial, check_plan, fit_costs, predict, run_trials
from hostemu.scenario import Scenario, load_scenario

FOLDER = Path("validations")


def validate(
    scenario: ScenarioArgument,
    fit: Annotated[
        str | None, typer.Option(metavar="N,N…", help="Numbers of terminals of the runs that costs are fitted to.")
    ] = None,
    predicted: Annotated[
        str | None,
        typer.Option("--predict", metavar="N,N…", help="Numbers of terminals that are predicted, then played."),
    ] = None,
    published: Annotated[
        bool,
        typer.Option("--published", help="Predict the thesis' table 5 from its tables 1 to 4; nothing is played."),
    ] = False,
    backend: Annotated[str, typer.Option(help="What the real runs are played on.")] = "netns",
    seeds: Annotated[int, typer.Option(min=1, help="Real runs of each number of terminals.")] = 3,
    tries: Annotated[int, typer.Option(min=1, help="How often a real run is played at most, until it is valid.")] = 3,
    predictions: Annotated[int, typer.Option(min=1, help="Simulated runs of each number of terminals.")] = 10,
    settings: SetOption = None,
    seed: SeedOption = None,
    time_scale: ScaleOption = 1.0,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="DIR", help="Folder of the runs, validations/SCENARIO by default."),
    ] = None,
    resume: Annotated[bool, typer.Option("--continue", help="Go on with the runs that are there.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print tables for a document.")] = False,
    json: JsonOption = None,
) -> None:
    """Fit costs on small real runs, predict larger ones with the twin, play those for real, and tell the error.

    Each number of terminals is also predicted from the runs of all the others.
    """
    base = load_scenario(scenario, overrides(settings, seed))
    if published:
        if fit or predicted:
            raise InputError("--published needs no runs", expected="no --fit and no --predict", found="both kinds")
        title = f"{base.name}: published, and predicted from tables 1 to 4"
        _show({title: _published(base, predictions)}, base, "published", [], json, markdown=markdown)
        return
    plan = Plan(
        base,
        whole_numbers("--fit", fit),
        whole_numbers("--predict", predicted),
        backend,
        seeds,
        predictions,
        time_scale,
    )
    check_plan(plan)
    folder = output or FOLDER / base.name
    with progress_bar(f"{base.name}: real runs on {backend}, into {folder}") as progress:
        trials = run_trials(plan, folder, RunDisplay(progress), resume=resume, tries=tries)
    with progress_bar(f"{base.name}: predictions") as progress:
        display = RunDisplay(progress)
        held_out = _predicted(plan, trials, dict.fromkeys(plan.predicted, plan.fitted), display)
        sizes = sorted({*plan.fitted, *plan.predicted})
        one_out = _predicted(plan, trials, {size: [o for o in sizes if o != size] for size in sizes}, display)
    found = {
        f"held out: fitted to {', '.join(map(str, plan.fitted))} terminals": held_out,
        "one number of terminals left out": one_out,
    }
    invalid = [
        f"{t.terminals} terminals, seed {t.seed}: {'; '.join(t.summary['verdict'])}" for t in trials if not t.is_valid
    ]
    _show(found, base, backend, invalid, json, markdown=markdown)


def _show(
    tables: dict[str, list[JSON]],
    base: Scenario,
    backend: str,
    invalid: list[str],
    json: Path | None,
    *,
    markdown: bool,
) -> None:
    write_json(json, {"scenario": base.name, "backend": backend, "tables": tables, "invalid": invalid})
    console = results_console(json)
    for title, rows in tables.items():
        if markdown:
            typer.echo(as_markdown(title, rows), err=console.stderr)
        else:
            console.print(as_table(title, rows))
    for text in invalid:
        console.print(f"left out, invalid: {text}", highlight=False, markup=False, soft_wrap=True)


def _published(base: Scenario, predictions: int) -> list[JSON]:
    """A row of the thesis' table 5, with its prediction; InputError for a scenario that it does not have."""
    row = published_row(base.name)
    if row is None:
        expected = ", ".join(thesis()["table5"])
        raise InputError(f"the thesis has published nothing of {base.name}", expected=expected, found=base.name)
    costs = costs_from_models(thesis_models(thesis()), row["row"].lower())
    plan = Plan(base, (), (row["terminals"],), "published", 1, predictions, 1.0)
    with progress_bar(f"{base.name}: predictions") as progress:
        predicted = predict(plan, {row["terminals"]: costs}, RunDisplay(progress))
    return results({row["terminals"]: [published_run(row)]}, predicted)


def _predicted(
    plan: Plan, trials: Sequence[Trial], fitted_to: dict[int, Sequence[int]], display: RunDisplay
) -> list[JSON]:
    """Each size predicted from the runs of others, beside what was measured."""
    cores = len(os.sched_getaffinity(0))
    costs = {
        size: fit_costs([t for t in trials if t.terminals in others], cores, f"runs of {others} terminals")
        for size, others in fitted_to.items()
    }
    measured = {size: [t.summary for t in trials if t.terminals == size and t.is_valid] for size in fitted_to}
    return results(measured, predict(plan, costs, display))
