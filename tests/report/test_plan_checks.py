"""Plans held against runs."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from hostemu.report.plan_checks import checked, checks_as_markdown, checks_as_tables, means
from tests.report.test_compare import run as a_run
from tests.report.test_use import USED, run


def using(cpu_s: float, **more: Any) -> dict[str, Any]:
    return run(used={**USED, "cpu_s": cpu_s}, **more)


def test_checks_leave_out_runs_without_a_plan() -> None:
    (check,) = checked([run(), run(planned={}), a_run("simulated", 200.0)])
    assert check["figures"]["cpu_s"] == {"planned": 9.0, "used": 10.0, "error": -0.1}
    text = checks_as_markdown([check])
    assert "9.0 / 10.0 (-10.0%)" in text
    assert "mean" not in text
    assert "measured just now: 6 runs" in text


def test_means_are_of_valid_runs_that_differ_in_their_seeds_alone() -> None:
    runs = [using(9.0), using(11.0), using(10.0), using(50.0, verdict=["saturated"]), using(7.0, backend="uml")]
    (group,) = means(checked(runs))
    assert (group["backend"], group["runs"]) == (runs[0]["backend"], 3)
    figure = group["figures"]["cpu_s"]
    assert (figure["planned"], figure["used"]) == (9.0, 10.0)
    assert figure["half_width_95"] == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert figure["error"] == pytest.approx(-0.1)


def test_a_mean_has_the_figures_that_all_its_runs_tell() -> None:
    without = {**USED}
    del without["memory_bytes"]
    (group,) = means(checked([using(9.0), run(used=without)]))
    assert "memory_bytes" not in group["figures"]
    assert "cpu_s" in group["figures"]
    assert "| – |" in checks_as_markdown(checked([using(9.0), run(used=without)]))


def test_tables_show_means_before_runs() -> None:
    checks = checked([using(9.0), using(11.0)])
    text = checks_as_markdown(checks)
    assert text.index("Means of valid runs") < text.index("What was planned")
    assert "9.0 / 10.0 ± 12.7 (-10.0%)" in text
    console = Console(file=StringIO(), width=200)
    for table in checks_as_tables(checks):
        console.print(table)
    assert "9.0 / 10.0 ± 12.7 (-10.0%)" in console.file.getvalue()  # type: ignore[attr-defined]
