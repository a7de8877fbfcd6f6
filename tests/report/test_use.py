"""Planned beside used."""

from __future__ import annotations

from typing import Any

import pytest

from hostemu.report.compare import compare
from hostemu.report.use import errors, use_rows
from tests.report.test_compare import run as a_run

MIB = 2**20
PLAN = {
    "memory_bytes": {"value": 110 * MIB, "low": 100 * MIB, "high": None},
    "cpu_s": {"value": 9.0, "low": 8.0, "high": 10.0},
    "run_s": 20.0,
    "twin": {"attempts": 1000},
    "origin": "measured just now",
    "source": "6 runs",
}
USED = {"memory_bytes": 100 * MIB, "cpu_s": 10.0, "run_s": 20.0, "start_s": 3.0}


def run(**more: Any) -> dict[str, Any]:
    return {**a_run("real", 200.0), "used": USED, "planned": PLAN, **more}


def test_errors_are_shares_of_what_was_used() -> None:
    assert errors(run()) == pytest.approx({"memory_bytes": 0.1, "cpu_s": -0.1, "run_s": 0.0})
    assert errors(run(planned={})) == {}
    assert errors(a_run("simulated", 200.0)) == {}


def test_a_run_tells_what_it_used_with_what_was_planned() -> None:
    rows = dict(use_rows(run()))
    assert rows["memory used"] == "100 MiB (planned 110 MiB, +10.0%)"
    assert rows["start-up"] == "3.0 s"
    assert list(use_rows(a_run("simulated", 200.0))) == []


def test_a_comparison_has_the_rows_when_a_run_tells_them() -> None:
    (with_use,) = compare([run()])
    rows = {row["quantity"]: row["measured"] for row in with_use["rows"]}
    (backend,) = rows["CPU time used, core-seconds"]
    assert rows["memory used, MiB"][backend]["mean"] == 100
    assert rows["CPU time used, core-seconds"][backend]["mean"] == 10
    (without,) = compare([a_run("real", 200.0)])
    assert not any("used" in row["quantity"] for row in without["rows"])
