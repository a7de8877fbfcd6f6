"""`hostemu calibrate`: measure this machine and its backends."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hostemu.cli.output import JsonOption, progress_bar, results_console, write_json
from hostemu.cli.progress import CampaignDisplay
from hostemu.fitting import load_models
from hostemu.measure.campaigns import load_campaign
from hostemu.report.campaign import as_table, notes
from hostemu.runner.campaign import run_campaign
from hostemu.runner.places import places_for

SETTINGS_HELP = 'Override a key of the campaign, e.g. --set iperf.duration="5 s".'


def calibrate(
    campaign: Annotated[str, typer.Argument(help="A campaign file, or the name of a shipped campaign.")] = "thesis",
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            help="What to measure, instead of what the campaign says: a backend, auto, or host; again for more.",
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="The campaign's short form.")] = False,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=SETTINGS_HELP)] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            metavar="DIR",
            help="Folder of the campaign, campaigns/NAME by default; for `costs` the cost model, costs.toml.",
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--continue", help="Go on with the campaign that is there.")] = False,
    json: JsonOption = None,
) -> None:
    """Measure backends as the thesis' tables 1 to 4 do, or, with `costs`, what the simulator needs to know.

    Every value is kept in a journal at once; an interrupted campaign goes on with --continue.
    """
    definition = load_campaign(campaign, settings or [], quick=quick)
    backends = backend or definition.backends
    places = places_for(definition, output, backends)
    with progress_bar(f"campaign {definition.name}, into {places.journal}") as progress:
        display = CampaignDisplay(progress)
        summary = run_campaign(definition, backends, places, display, resume=resume)
    write_json(json, summary)
    console = results_console(json)
    console.print(as_table(summary))
    missing = {} if places.models is None else load_models(places.models).missing
    for text in [*notes(summary), *(f"no model {name}: {reason}" for name, reason in missing.items())]:
        console.print(f"• {text}", highlight=False, markup=False, soft_wrap=True)
    for kind, path in (
        ("journal", places.journal),
        ("summary", places.summary),
        ("models", places.models),
        ("cost model", places.costs),
    ):
        if path is not None:
            console.print(f"{kind}: {path}", highlight=False, soft_wrap=True)
