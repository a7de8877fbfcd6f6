"""`hostemu demo`: the whole of hostemu in about a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hostemu.cli.output import JsonOption, progress_bar, results_console, summary_table, write_json
from hostemu.cli.progress import RunDisplay
from hostemu.measure.costs import NO_COSTS
from hostemu.report.compare import as_table, compare
from hostemu.runner.play import play_real, play_simulated
from hostemu.scenario import load_scenario

SCENARIO = "thesis-qemu"
TIME_SCALE = 10.0
ASSUMED_TERMINALS = 2_000_000


def demo(
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="Folder for the runs.")] = Path("runs"),
    json: JsonOption = None,
) -> None:
    """Play the thesis' experiment for real, ten times faster, and simulated; compare; simulate two millions."""
    plan = load_scenario(SCENARIO)
    console = results_console(json)
    what = f"{plan.fleet.terminals} terminals on {plan.guests} network namespaces, time scaled 1:{TIME_SCALE:g}"
    with progress_bar(f"For real: {what}") as progress:
        real = play_real(plan, "netns", output, TIME_SCALE, RunDisplay(progress))
    with progress_bar("The same scenario, simulated") as progress:
        twin = play_simulated(plan, output, TIME_SCALE, NO_COSTS, None, RunDisplay(progress))
    comparisons = compare([real.summary, twin.summary])
    write_json(json, comparisons)
    for comparison in comparisons:
        console.print(as_table(comparison))
    fleet = load_scenario(SCENARIO, [f"fleet.terminals={ASSUMED_TERMINALS}"])
    with progress_bar(f"The fleet that the thesis assumes: {ASSUMED_TERMINALS} terminals, simulated") as progress:
        large = play_simulated(fleet, output, 1.0, NO_COSTS, None, RunDisplay(progress))
    console.print(summary_table(large.summary))
    console.print(f"records: {real.record}, {twin.record}, {large.record}", highlight=False, soft_wrap=True)
