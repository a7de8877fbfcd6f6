"""Validations: errors, their intervals, and whether a prediction covers what was measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hostemu.report.validation import as_markdown, as_table, published_run, results


def run(makespan_s: float, retrieved: int = 100) -> dict[str, Any]:
    return {
        "terminals": 100,
        "retrieved": retrieved,
        "makespan_s": makespan_s,
        "time_to_retrieve_s": {"p50": makespan_s / 2, "p99": None},
        "attempts": {"mean": 3.0},
    }


def time_row(measured: list[float], predicted: list[float]) -> dict[str, Any]:
    rows = results({100: [run(value) for value in measured]}, {100: [run(value) for value in predicted]})
    return next(row for row in rows if row["quantity"] == "time, s")


def test_an_error_is_that_of_the_means_as_a_share_of_the_measured() -> None:
    row = time_row([100, 110, 90], [104, 106])
    assert row["error"] == pytest.approx(0.05)
    assert row["measured"] == {"mean": 100, "deviation": 10, "n": 3}
    assert row["half_width_95"] > 0.05


def test_one_run_has_an_error_and_no_interval() -> None:
    row = time_row([100], [105])
    assert (row["error"], row["half_width_95"], row["is_covered"]) == (pytest.approx(0.05), None, None)


def test_predictions_cover_what_is_measured_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(2)
    covered = [time_row(list(rng.normal(200, 4, 3)), list(rng.normal(200, 4, 10)))["is_covered"] for _ in range(300)]
    assert 0.91 <= np.mean(covered) <= 0.99
    assert not time_row([230, 231, 229], list(rng.normal(200, 4, 10)))["is_covered"]


def test_what_nobody_measured_has_no_row() -> None:
    assert results({}, {100: [run(1)]}) == []
    quantities = [row["quantity"] for row in results({100: [run(1)]}, {100: [run(1)]})]
    assert "time to retrieve, 99th percentile, s" not in quantities
    assert quantities[0] == "retrieved share"


def test_tables_have_a_row_for_each_quantity() -> None:
    rows = results({100: [run(100), run(110)]}, {100: [run(104), run(106)]})
    assert as_table("t", rows).row_count == len(rows) == 5
    assert "| 100 | time, s | 105.0 (n=2) | 105.0 (n=2) | +0.00% ± " in as_markdown("t", rows)


def test_a_published_row_stands_for_a_single_run() -> None:
    row = {"terminals": 100, "retrieved_at_most": 98, "time_s": 257}
    rows = {
        found["quantity"]: found for found in results({100: [published_run(row)]}, {100: [run(280.0), run(240.0)]})
    }
    assert rows.keys() == {"retrieved share", "failed", "time, s"}
    assert rows["time, s"]["error"] == pytest.approx(3 / 257)
    assert rows["failed"]["measured"]["mean"] == 2
    assert rows["time, s"]["half_width_95"] is None
