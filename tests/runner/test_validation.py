"""Validations: costs fitted to mixed runs, what is refused, and what is kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hostemu.base.errors import InputError, RecordError, RunError
from hostemu.runner import validation
from hostemu.runner.validation import Plan, Trial, check_plan, fit_costs, predict, run_trials
from hostemu.scenario import load_scenario

TRUTH = {"refusals": 40_000.0, "exchanges": 150_000.0}


def actions(refusals: float, exchanges: float, noise: float = 1.0) -> dict[str, float]:
    return {
        "refusals": refusals,
        "exchanges": exchanges,
        "reports": exchanges,
        "frames": 2 * refusals + 10 * exchanges,
        "isp_cpu_ns": (TRUTH["refusals"] * refusals + TRUTH["exchanges"] * exchanges) * noise,
        "farm_cpu_ns": 90_000.0 * exchanges,
        "center_cpu_ns": 50_000.0 * exchanges,
        "router_cpu_ns": 20_000.0 * (2 * refusals + 10 * exchanges),
    }


def trial(terminals: int, seed: int = 1, verdict: Any = "valid", **given: float) -> Trial:
    return Trial(terminals, seed, {"verdict": verdict, "complete": True}, actions(**given))


def plan(fitted: tuple[int, ...] = (10, 20), predicted: tuple[int, ...] = (40,), seeds: int = 2) -> Plan:
    return Plan(load_scenario("smoke"), fitted, predicted, "netns", seeds, 2, 1.0)


def test_costs_are_told_apart_where_actions_are_mixed_differently() -> None:
    rng = np.random.default_rng(3)
    mixes = [(4000.0, 400.0), (9000.0, 800.0), (2000.0, 1600.0)]
    trials = [trial(1, refusals=r, exchanges=e, noise=rng.normal(1, 0.01)) for r, e in mixes for _ in range(3)]
    costs = fit_costs(trials, 2, "test")
    assert costs.isp_refused_ns == pytest.approx(TRUTH["refusals"], rel=0.1)
    assert costs.isp_exchange_ns == pytest.approx(TRUTH["exchanges"], rel=0.1)
    assert (costs.terminal_exchange_ns, costs.center_report_ns, costs.router_frame_ns) == (90_000, 50_000, 20_000)
    assert costs.cores == 2


def test_invalid_runs_teach_nothing() -> None:
    good = [trial(1, refusals=100, exchanges=10), trial(1, refusals=10, exchanges=100)]
    bad = trial(1, verdict=["saturated"], refusals=100, exchanges=10, noise=50)
    assert fit_costs([*good, bad], 2, "t") == fit_costs(good, 2, "t")
    with pytest.raises(RunError, match="no valid run"):
        fit_costs([bad], 2, "t")


@pytest.mark.parametrize(("fitted", "predicted"), [((), (1,)), ((1,), ()), ((1, 2), (2, 3))])
def test_a_validation_that_predicts_nothing_new_is_refused(
    fitted: tuple[int, ...], predicted: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match="validation"):
        check_plan(plan(fitted, predicted))


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Instead of real runs; says which were asked for."""
    found: list[tuple[int, int]] = []

    def play(_plan: Plan, terminals: int, seed: int, _folder: Path) -> Trial:
        found.append((terminals, seed))
        return trial(terminals, seed, refusals=10 * terminals, exchanges=terminals)

    monkeypatch.setattr(validation, "_play", play)
    return found


def test_every_run_is_played_once_whatever_ends_the_validation(tmp_path: Path, played: list[tuple[int, int]]) -> None:
    wanted = [(10, 1), (20, 1), (40, 1), (10, 2), (20, 2), (40, 2)]
    whole = run_trials(plan(), tmp_path, lambda _event: None, resume=False)
    assert played == wanted == [(t.terminals, t.seed) for t in whole]
    path = tmp_path / "validation.jsonl"
    path.write_bytes(path.read_bytes()[:-5])
    assert run_trials(plan(), tmp_path, lambda _event: None, resume=True) == whole
    assert played == [*wanted, (40, 2)]
    run_trials(plan(seeds=3), tmp_path, lambda _event: None, resume=True)
    assert played[7:] == [(10, 3), (20, 3), (40, 3)]


def test_runs_that_are_invalid_are_played_again_and_only_they(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts: dict[int, list[Any]] = {10: ["valid"], 20: [["late"], ["late"], "valid"], 40: [["stolen"]] * 5}
    tried: list[int] = []

    def play(_plan: Plan, terminals: int, seed: int, _folder: Path) -> Trial:
        tried.append(terminals)
        return trial(terminals, seed, verdicts[terminals].pop(0), refusals=1.0, exchanges=1.0)

    monkeypatch.setattr(validation, "_play", play)
    once = plan(seeds=1)
    first = run_trials(once, tmp_path, lambda _event: None, resume=False, tries=2)
    assert tried == [10, 20, 20, 40, 40]
    assert [found.is_valid for found in first] == [True, False, False]
    again = run_trials(once, tmp_path, lambda _event: None, resume=True, tries=2)
    assert tried[5:] == [20, 40, 40]
    assert [found.is_valid for found in again] == [True, True, False]


@pytest.mark.usefixtures("played")
def test_another_validation_does_not_go_on(tmp_path: Path) -> None:
    run_trials(plan(), tmp_path, lambda _event: None, resume=False)
    with pytest.raises(InputError, match="already"):
        run_trials(plan(), tmp_path, lambda _event: None, resume=False)
    other = Plan(load_scenario("smoke", ["power.on=7 s"]), (10,), (40,), "netns", 1, 1, 1.0)
    with pytest.raises(InputError, match="another validation"):
        run_trials(other, tmp_path, lambda _event: None, resume=True)


@pytest.mark.usefixtures("played")
def test_a_line_that_is_incomplete_is_named(tmp_path: Path) -> None:
    run_trials(plan(), tmp_path, lambda _event: None, resume=False)
    path = tmp_path / "validation.jsonl"
    lines = path.read_text().splitlines()
    entry = json.loads(lines[2])
    del entry["actions"]
    path.write_text("\n".join([*lines[:2], json.dumps(entry)]) + "\n")
    with pytest.raises(RecordError, match="line 3 is incomplete"):
        run_trials(plan(), tmp_path, lambda _event: None, resume=True)


def test_predictions_have_seeds_of_their_own() -> None:
    costs = fit_costs([trial(1, refusals=100, exchanges=10), trial(1, refusals=10, exchanges=100)], 2, "t")
    found = predict(plan(), {15: costs}, lambda _event: None)[15]
    assert [run["terminals"] for run in found] == [15, 15]
    assert found[0]["seed"] != found[1]["seed"]
    assert {run["seed"] for run in found}.isdisjoint({1, 2})
