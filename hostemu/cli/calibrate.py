"""`hostemu calibrate`: measure what the simulator needs to know of this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hostemu.cli.output import JsonOption, progress_bar, results_console, write_json
from hostemu.measure.costs import Costs, save_costs
from hostemu.runner.calibrate import Sample, measure_costs


def calibrate(
    backend: Annotated[str, typer.Option(help="What the guests are.")] = "netns",
    repeats: Annotated[int, typer.Option(min=1, max=100, help="Runs per figure.")] = 5,
    output: Annotated[Path, typer.Option("--output", metavar="FILE", help="The cost model to write.")] = Path(
        "costs.toml"
    ),
    json: JsonOption = None,
) -> None:
    """Measure the CPU time of the programs' actions; the result is a cost model for `hostemu simulate --model`."""
    samples: list[Sample] = []

    with (
        tempfile.TemporaryDirectory() as folder,
        progress_bar("measuring costs, two short runs per repeat") as progress,
    ):
        task = progress.add_task("runs", total=2 * repeats, note="")

        def on_sample(sample: Sample) -> None:
            samples.append(sample)
            progress.advance(task)

        costs = measure_costs(backend, Path(folder), repeats, lambda _event: None, on_sample)
    save_costs(costs, output)
    write_json(json, {"costs_ns": costs.figures_ns(), "samples": [_as_json(sample) for sample in samples]})
    results_console(json).print(_table(costs))
    results_console(json).print(f"cost model: {output}", highlight=False)


def _as_json(sample: Sample) -> dict[str, Any]:
    return {"scenario": sample.scenario, "figures_ns": sample.figures_ns}


def _table(costs: Costs) -> Table:
    table = Table(title="CPU time per action", caption=costs.source)
    for heading in ("action", "median, µs", "spread, µs", "n"):
        table.add_column(heading, justify="left" if heading == "action" else "right")
    origin = costs.provenance
    for name, value_ns in costs.figures_ns().items():
        spread_ns = 0 if origin is None else origin.spread_ns[name]
        count = 0 if origin is None else origin.samples[name]
        table.add_row(name, f"{value_ns / 1e3:.1f}", f"{spread_ns / 1e3:.1f}", str(count))
    return table
