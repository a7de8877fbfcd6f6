"""Sweeps side by side: means, intervals, and differences that are paired by seed."""

from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from hostemu.report.sweep import as_table, sweep_results


def run(makespan_s: float, failed: dict[str, int] | None = None) -> dict[str, Any]:
    return {
        "engine": "simpy",
        "terminals": 10,
        "retrieved": 10 - sum((failed or {}).values()),
        "failed": failed or {},
        "makespan_s": makespan_s,
        "time_to_retrieve_s": {"p50": makespan_s / 2, "p99": None},
        "attempts": {"mean": 3.0},
    }


LOW, HIGH = (("k.concurrency", "100"),), (("k.concurrency", "200"),)


def test_a_difference_is_that_of_the_same_seeds() -> None:
    """Luck that both share does not widen the interval."""
    runs = {LOW: {1: run(100), 2: run(300), 3: run(200)}, HIGH: {1: run(90), 2: run(290), 3: run(190), 4: run(999)}}
    low, high = sweep_results("s", runs)
    assert low["difference"] is None
    assert high["difference"] == {"mean": pytest.approx(-10), "half_width_95": pytest.approx(0), "n": 3}
    assert low["quantities"]["time, s"]["mean"] == 200
    assert low["quantities"]["time, s"]["half_width_95"] > 100
    assert low["quantities"]["time, s"]["values"] == {1: 100, 2: 300, 3: 200}


def test_failures_add_up_and_what_is_unknown_has_no_number() -> None:
    (only,) = sweep_results("s", {LOW: {1: run(1, {"refused": 2}), 2: run(1, {"refused": 1, "deadline": 1})}})
    assert only["failed"] == {"refused": 3, "deadline": 1}
    assert only["quantities"]["failed"]["mean"] == 2
    assert only["quantities"]["time to retrieve, 99th percentile, s"] is None


def test_the_table_has_a_row_for_each_combination() -> None:
    results = sweep_results("s", {LOW: {1: run(100)}, HIGH: {1: run(90)}})
    console = Console(width=200, record=True, quiet=True)
    console.print(as_table(results))
    table = as_table(results)
    assert table.row_count == 2
    assert [column.header for column in table.columns][:2] == ["concurrency", "n"]
    assert list(table.columns[-1].cells) == ["–", "-10.0"]
