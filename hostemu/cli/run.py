"""`hostemu run`: play a scenario for real."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from hostemu.base.errors import InputError, RunError
from hostemu.cli.costing import charge_from
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
from hostemu.measure.costs import Charge
from hostemu.records.workload import WorkloadRecord
from hostemu.report.workload import summary_of, table_of
from hostemu.runner.play import play_real, play_virtual
from hostemu.runner.workload import play_workload, play_workload_virtual
from hostemu.scenario import load_scenario
from hostemu.scenario.workload import folder_of, is_workload, load_workload

OutputOption = Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for this run's own folder.")]

KernelOption = Annotated[
    Path | None,
    typer.Option("--kernel", metavar="FILE", help="The kernel that guests boot, if they have one of their own."),
]


MOST_REASONS = 5
"""Of why a run is invalid, in one message."""


class Clock(StrEnum):
    """Whose time a run is played in."""

    REAL = "real"
    VIRTUAL = "virtual"


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
    clock: Annotated[
        Clock, typer.Option("--time", help="virtual: guests' clocks are the run's own, whatever this machine does.")
    ] = Clock.REAL,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            metavar="FILE",
            help="With --time virtual: what frames, system calls and page faults take guests' CPUs, from models that "
            "`hostemu calibrate charges` has made, or thesis-2008-models; without it computation takes no time.",
        ),
    ] = None,
    slow_as: Annotated[
        str,
        typer.Option(
            "--slow-as", metavar="BACKEND", help="The guests whose figures are taken from models of several."
        ),
    ] = "uml",
    json: JsonOption = None,
) -> None:
    """Play a scenario or a workload for real: guests, programs, packets; exit code 1 when it failed or is invalid."""
    if model is not None and clock is Clock.REAL:
        raise InputError("real time cannot be charged", expected="--time virtual with --model", found="--time real")
    charge = charge_from(model, slow_as)
    if is_workload(scenario):
        if time_scale != 1:
            raise InputError(
                "programs cannot be made faster", expected="no --time-scale for a workload", found=str(time_scale)
            )
        _run_workload(
            scenario, overrides(settings, seed), backend, clock, output, kernel, charge, json, anyway=anyway
        )
        return
    plan = load_scenario(scenario, overrides(settings, seed))
    if clock is Clock.VIRTUAL:
        backend = _virtual(backend)
    kind = "" if backend == AUTO else f"{backend} "
    title = f"{plan.name}: {plan.fleet.terminals} terminals on {plan.guests} {kind}guests"
    with progress_bar(title, eta=True) as progress:
        if clock is Clock.VIRTUAL:
            result = play_virtual(plan, output, time_scale, RunDisplay(progress), kernel, charge, anyway=anyway)
        else:
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


def _run_workload(
    name: str,
    settings: list[str],
    backend: str,
    clock: Clock,
    output: Path,
    kernel: Path | None,
    charge: Charge,
    json: Path | None,
    *,
    anyway: bool,
) -> None:
    """Play a workload on guests."""
    workload = load_workload(name, settings)
    with progress_bar(f"{workload.name}: {workload.hosts} hosts", eta=True) as progress:
        display = RunDisplay(progress)
        if clock is Clock.VIRTUAL:
            _virtual(backend)
            path, record = play_workload_virtual(
                workload, folder_of(name), output, display, kernel, charge, anyway=anyway
            )
        else:
            path, record = play_workload(workload, folder_of(name), backend, output, display, kernel, anyway=anyway)
    show_workload(path, record, json)


def show_workload(path: Path, record: WorkloadRecord, json: Path | None) -> None:
    """Print a run of a workload; RunError when it is invalid."""
    found = summary_of(record)
    write_json(json, found)
    console = results_console(json)
    console.print(table_of(found))
    console.print(f"record: {path}", highlight=False, soft_wrap=True)
    if record.verdict:
        raise RunError(
            "the run is INVALID",
            found="; ".join(record.verdict[:MOST_REASONS]),
            hint=f"see {path.parent / 'programs'}",
        )


def _virtual(backend: str) -> str:
    """The backend that plays in virtual time; InputError when another one was named."""
    if backend not in ("netns", "uml"):
        raise InputError(
            f"{backend} guests have no clock that can be driven",
            expected="--backend uml, or none, with --time virtual",
            found=f"--backend {backend}",
        )
    return "uml"
