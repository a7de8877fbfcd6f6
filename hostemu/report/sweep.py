"""A sweep side by side: every combination of settings, means over its seeds, and what differs from the first one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from hostemu.report.compare import QUANTITIES, Quantity, Summary
from hostemu.report.statistics import Estimate

JSON = dict[str, Any]
Settings = tuple[tuple[str, str], ...]
Runs = Mapping[Settings, Mapping[int, Summary]]

COMPARED = "time, s"
"""The quantity of which the difference from the first combination is shown."""


def sweep_results(scenario: str, runs: Runs) -> list[JSON]:
    """One object per combination: settings, seeds, failures by reason, and quantities.

    A quantity has mean, half_width_95 (None of one run), n, and its values by seed.  difference: of COMPARED from the
    first combination, over the seeds that both have (paired: their luck is the same).
    """
    whole = {
        settings: {seed: _with_total(run) for seed, run in by_seed.items()} for settings, by_seed in runs.items()
    }
    first = next(iter(whole.values()), {})
    return [_combination(scenario, settings, by_seed, first) for settings, by_seed in whole.items()]


def _with_total(run: Summary) -> Summary:
    return {**run, "failed_total": sum(run["failed"].values())}


def _combination(
    scenario: str, settings: Settings, by_seed: Mapping[int, Summary], first: Mapping[int, Summary]
) -> JSON:
    failed: dict[str, int] = {}
    for run in by_seed.values():
        for reason, count in run["failed"].items():
            failed[reason] = failed.get(reason, 0) + count
    return {
        "scenario": scenario,
        "settings": dict(settings),
        "engines": sorted({run["engine"] for run in by_seed.values()}),
        "seeds": sorted(by_seed),
        "failed": failed,
        "quantities": {quantity.name: _quantity(quantity, by_seed) for quantity in QUANTITIES},
        "difference": _difference(by_seed, first),
    }


def _quantity(quantity: Quantity, by_seed: Mapping[int, Summary]) -> JSON | None:
    values = {seed: quantity.read(run) for seed, run in sorted(by_seed.items())}
    known = [value for value in values.values() if value is not None]
    return {**_estimate(known), "values": values} if known else None


def _difference(by_seed: Mapping[int, Summary], first: Mapping[int, Summary]) -> JSON | None:
    quantity = next(item for item in QUANTITIES if item.name == COMPARED)
    pairs = [(quantity.read(by_seed[seed]), quantity.read(first[seed])) for seed in sorted(by_seed) if seed in first]
    differences = [one - other for one, other in pairs if one is not None and other is not None]
    return None if by_seed is first or not differences else _estimate(differences)


def _estimate(values: Sequence[float]) -> JSON:
    estimate = Estimate.of(values)
    return {"mean": estimate.mean, "half_width_95": estimate.half_width, "n": estimate.n}


def _text(value: JSON | None, digits: int, sign: str = "") -> str:
    if value is None:
        return "–"
    half = value["half_width_95"]
    return f"{value['mean']:{sign}.{digits}f}" + ("" if half is None else f" ± {half:.{digits}f}")


def as_table(results: Sequence[JSON]) -> Table:
    """The sweep for a terminal."""
    name = results[0]["scenario"] if results else ""
    engines = sorted({engine for result in results for engine in result["engines"]})
    caption = f"simulated ({', '.join(engines)}); ± is the 95 % interval of the mean; difference: paired by seed"
    table = Table(title=name, caption=caption, caption_justify="left")
    keys = list(results[0]["settings"]) if results else []
    for key in keys:
        table.add_column(key.rpartition(".")[2], justify="right")
    for heading in ("n", *(quantity.name for quantity in QUANTITIES), f"difference of {COMPARED}"):
        table.add_column(heading, justify="right", overflow="fold")
    for result in results:
        cells = [_text(result["quantities"][quantity.name], quantity.digits) for quantity in QUANTITIES]
        settings = [result["settings"][key] for key in keys]
        table.add_row(*settings, str(len(result["seeds"])), *cells, _text(result["difference"], 1, "+"))
    return table
