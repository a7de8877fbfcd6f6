"""`hostemu simulate --sweep … --replications …`: many runs of one scenario."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from hostemu.cli.output import progress_bar, results_console, write_json
from hostemu.cli.progress import RunDisplay
from hostemu.measure.costs import Costs
from hostemu.report.sweep import as_table, sweep_results
from hostemu.runner.sweep import FILE, Plan, Run, finished, run_sweep
from hostemu.scenario import load_scenario
from hostemu.sim import EngineName
from hostemu.sim.sweep import backends, costs_on, parse_axis, points, split

FOLDER = Path("sweeps")


def sweep(
    scenario: str,
    settings: Sequence[str],
    axes: Sequence[str],
    replications: int,
    *,
    costs_of: Callable[[str], Costs],
    engine: EngineName,
    time_scale: float,
    output: Path | None,
    resume: bool,
    address: str | None,
    json: Path | None,
) -> None:
    """Play every combination of the axes' values, `replications` times, and show them side by side.

    costs_of: what actions cost on guests of a backend, or of CHOSEN.
    """
    base = load_scenario(scenario, settings, time_scale)
    parsed = tuple(map(parse_axis, axes))
    costs = {backend: costs_of(backend) for backend in backends(parsed)}
    runs = {}
    for point in points(parsed, base.seed, replications):
        changes, host = split(point.settings)
        runs[point] = Run(load_scenario(scenario, [*settings, *changes], time_scale), costs_on(host, costs))
    plan = Plan(base, parsed, runs, costs, engine)
    path = (output or FOLDER / base.name) / FILE
    with progress_bar(f"{base.name}: {len(runs)} runs, simulated, into {path}", eta=True) as progress:
        swept = run_sweep(plan, path, RunDisplay(progress), resume=resume, address=address)
    results = sweep_results(base.name, finished(plan, swept))
    write_json(json, results)
    console = results_console(json)
    console.print(as_table(results))
    console.print(f"runs: {path}", highlight=False, soft_wrap=True)
