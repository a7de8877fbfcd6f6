"""`hostemu run`: play a scenario for real."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hostemu.base.errors import RunError
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
from hostemu.guests import AUTO
from hostemu.runner.play import play_real
from hostemu.scenario import load_scenario

OutputOption = Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for this run's own folder.")]

KernelOption = Annotated[
    Path | None,
    typer.Option("--kernel", metavar="FILE", help="The kernel that guests boot, if they have one of their own."),
]


def run(
    scenario: ScenarioArgument,
    backend: Annotated[str, typer.Option(help="What the guests are; auto: kvm where it works, else qemu.")] = "netns",
    kernel: KernelOption = None,
    settings: SetOption = None,
    seed: SeedOption = None,
    time_scale: ScaleOption = 1.0,
    output: OutputOption = Path("runs"),
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Also where memory or a limit of the kernel is known not to suffice.")
    ] = False,
    json: JsonOption = None,
) -> None:
    """Play a scenario for real: guests, programs and packets; exit code 1 when the run failed or is invalid."""
    plan = load_scenario(scenario, overrides(settings, seed))
    kind = "" if backend == AUTO else f"{backend} "
    title = f"{plan.name}: {plan.fleet.terminals} terminals on {plan.guests} {kind}guests"
    with progress_bar(title, eta=True) as progress:
        result = play_real(plan, backend, output, time_scale, RunDisplay(progress), kernel, anyway=anyway)
    write_json(json, result.summary)
    console = results_console(json)
    console.print(summary_table(result.summary))
    console.print(f"record: {result.record}", highlight=False, soft_wrap=True)
    if result.summary["verdict"] != "valid":
        raise RunError(
            "the run is INVALID: the emulation disturbed what it measured",
            found="; ".join(result.summary["verdict"]),
            hint="use a quieter or larger machine, a smaller fleet, or a lower --time-scale",
        )
