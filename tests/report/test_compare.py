"""Comparison tables: means with intervals, published beside measured, invalid runs left out and named."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from rich.console import Console

from hostemu.report.compare import as_markdown, as_table, compare, published_row
from hostemu.report.statistics import Estimate
from hostemu.scenario import load_scenario


def run(
    mode: str,
    time_s: float,
    *,
    seed: int = 1,
    verdict: Any = "valid",
    scenario: str = "thesis-qemu",
    overrides: Sequence[str] = (),
    backend: str = "netns",
) -> dict[str, Any]:
    """A summary as `hostemu.records.summary` gives it."""
    return {
        "scenario": scenario,
        "scenario_text": load_scenario(scenario, [f"seed={seed}", *overrides]).to_toml(),
        "mode": mode,
        "backend": backend if mode == "real" else "",
        "terminals": 3200,
        "retrieved": 3198,
        "failed": {"refused": 2},
        "makespan_s": time_s,
        "time_to_retrieve_s": {"p50": time_s / 2, "p90": None, "p99": time_s, "max": time_s},
        "attempts": {"mean": 10.0, "max": 60},
        "verdict": verdict,
        "host": {"cpu_model": "test CPU"},
        "seed": seed,
        "time_scale": 1.0,
        "complete": True,
    }


def row(comparison: dict[str, Any], name: str) -> dict[str, Any]:
    """One row of a comparison."""
    return next(row for row in comparison["rows"] if row["quantity"] == name)


def test_an_estimate_has_students_interval() -> None:
    estimate = Estimate.of([10.0, 12.0, 14.0])
    assert estimate.mean == 12.0
    assert estimate.half_width == pytest.approx(4.30265273 * 2 / 3**0.5)  # t(0.975, 2) from the tables


def test_one_value_has_no_interval() -> None:
    assert Estimate.of([3.0]).half_width is None
    assert Estimate.of([3.0]).text() == "3.0"


def test_published_measured_and_simulated_stand_side_by_side() -> None:
    runs = [run("real", 200.0), run("real", 202.0, seed=2), run("simulated", 205.0)]
    (comparison,) = compare(runs)
    time = row(comparison, "time, s")
    assert time["published"] == 257
    assert time["measured"]["netns"]["mean"] == 201.0
    assert time["measured"]["netns"]["n"] == 2
    assert time["difference"]["netns"] == pytest.approx(4 / 201)


def test_an_invalid_run_is_left_out_and_named() -> None:
    (comparison,) = compare([run("real", 200.0), run("real", 900.0, seed=7, verdict=["CPU saturated: 100 %"])])
    assert row(comparison, "time, s")["measured"]["netns"]["mean"] == 200.0
    assert comparison["left_out"] == [
        {"mode": "real", "backend": "netns", "seed": 7, "why": ["CPU saturated: 100 %"]}
    ]
    assert "CPU saturated" in as_markdown(comparison)


def test_scenarios_are_not_mixed() -> None:
    comparisons = compare([run("real", 1.0), run("real", 2.0, scenario="smoke")])
    assert [comparison["scenario"] for comparison in comparisons] == ["thesis-qemu", "smoke"]
    assert comparisons[1]["published"] is None


def test_both_renderings_hold_the_figures() -> None:
    (comparison,) = compare([run("real", 200.0), run("simulated", 210.0)])
    console = Console(record=True, width=200)
    console.print(as_table(comparison))
    for text in (console.export_text(), as_markdown(comparison)):
        assert "257" in text
        assert "+5.00%" in text
        assert "2/3200" in text


def test_the_thesis_gives_a_row_for_both_scenarios() -> None:
    assert published_row("thesis-qemu")["time_s"] == 257  # type: ignore[index]
    assert published_row("thesis-uml")["retrieved_at_most"] == 6193  # type: ignore[index]
    assert published_row("smoke") is None


def test_an_invalid_run_is_shown_marked_when_there_is_no_other() -> None:
    (comparison,) = compare([run("real", 900.0, verdict=["late timers"]), run("simulated", 205.0)])
    assert row(comparison, "time, s")["measured"]["netns"]["mean"] == 900.0
    assert "n=1, INVALID" in as_markdown(comparison)
    assert comparison["left_out"][0]["why"] == ["late timers"]


def test_an_incomplete_run_is_never_shown() -> None:
    (comparison,) = compare([{**run("real", 900.0), "complete": False}, run("simulated", 205.0)])
    assert row(comparison, "time, s")["measured"] == {}
    assert comparison["left_out"][0]["why"] == ["the run did not finish"]


def test_a_changed_scenario_is_another_experiment_without_a_published_row() -> None:
    changed = run("simulated", 90.0, overrides=["fleet.terminals=100", "retrieval.retry.interval=1 s"])
    first, second = compare([run("real", 200.0), changed, run("simulated", 201.0, seed=9)])
    assert (first["runs"], first["changed"]) == ({"netns": 1, "simulated": 1}, [])
    assert second["published"] is None
    assert second["changed"] == ["fleet.terminals=100", "retrieval.retry.interval=1 s"]
    assert "with fleet.terminals=100" in as_markdown(second)


def test_every_backend_has_a_column_and_a_difference_of_its_own() -> None:
    runs = [run("real", 200.0), run("real", 250.0, backend="uml"), run("real", 100.0, backend="odd")]
    (comparison,) = compare([*runs, run("simulated", 220.0)])
    time = row(comparison, "time, s")
    assert comparison["backends"] == ["netns", "uml", "odd"]
    assert {name: value["mean"] for name, value in time["measured"].items()} == {
        "netns": 200.0,
        "uml": 250.0,
        "odd": 100.0,
    }
    assert time["difference"] == {"netns": pytest.approx(0.1), "uml": pytest.approx(-0.12), "odd": pytest.approx(1.2)}
    assert "| simulated − uml |" in as_markdown(comparison)


def test_a_setting_that_a_record_does_not_know_has_its_default() -> None:
    old = run("real", 200.0)
    old["scenario_text"] = old["scenario_text"].replace('wiring = "gine"\n', "")
    assert "wiring" not in old["scenario_text"]
    (comparison,) = compare([old, run("simulated", 201.0)])
    assert comparison["changed"] == []
