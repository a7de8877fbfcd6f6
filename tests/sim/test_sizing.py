"""Sizing: the least concurrency that is quick enough, and what keeps it from being quicker."""

from __future__ import annotations

from typing import Any

import pytest

from hostemu.base.errors import InputError
from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.scenario import Scenario, load_scenario
from hostemu.sim import simulate_fleet
from hostemu.sim.sizing import CENTER, HEADROOM, POWER, SLOTS, require_sensible, size
from tests.sim.builders import scenario


def fleet(*more: str) -> Scenario:
    return load_scenario("thesis-uml", ["fleet.terminals=6000", *more])


def ignore(_event: dict[str, Any]) -> None:
    pass


def test_the_answer_is_quick_enough_and_a_few_less_are_not() -> None:
    tried: list[str] = []
    found = size(fleet(), 120, NO_COSTS, 3, lambda event: tried.append(event["note"]))
    assert found.chosen is not None
    assert found.chosen.latest_s <= 120
    assert found.bottleneck == SLOTS
    assert found.isp_servers == 0
    assert len(tried) <= 13
    fewer = fleet(f"retrieval.concurrency={round(found.chosen.concurrency * 0.9)}")
    assert max(simulate_fleet(fewer, seed=fewer.seed + n).makespan_ns for n in range(3)) > 118e9


def test_nothing_is_quicker_than_the_power_cycle() -> None:
    found = size(fleet(), 40, NO_COSTS, 2, ignore)
    assert found.chosen is None
    assert found.bottleneck == POWER
    assert 55 < found.best.time_s < 70


def test_more_time_needs_fewer_contacts() -> None:
    needed = [size(fleet(), within, NO_COSTS, 2, ignore).chosen for within in (80, 160, 320)]
    numbers = [one.concurrency for one in needed if one is not None]
    assert len(numbers) == 3
    assert numbers == sorted(numbers, reverse=True)
    assert numbers[0] > 3 * numbers[2]


def test_cpu_time_says_how_many_isp_servers_there_must_be() -> None:
    """Always on: one attempt each, so that the load is known without playing."""
    plan = scenario({"fleet.terminals": 1000, "fleet.terminals_per_guest": 100})
    costs = Costs(isp_refused_ns=1, isp_exchange_ns=1_000_000_000, center_report_ns=1, cores=2)
    found = size(plan, 10, costs, 1, ignore)
    assert found.chosen is not None
    load = 1000 * 1.0 / found.chosen.time_s / (2 * HEADROOM)
    assert found.isp_servers == pytest.approx(load, abs=1)


def test_a_center_that_is_too_slow_is_named() -> None:
    plan = scenario({"fleet.terminals": 1000, "fleet.terminals_per_guest": 100})
    found = size(plan, 10, Costs(isp_exchange_ns=2, isp_refused_ns=1, center_report_ns=10**9), 1, ignore)
    assert found.bottleneck == CENTER
    assert found.center_share > 1


@pytest.mark.parametrize("within_s", [0.0, -1.0, 901.0])
def test_a_time_that_no_retrieval_can_have(within_s: float) -> None:
    with pytest.raises(InputError, match="time"):
        require_sensible(within_s, fleet())


def test_what_the_compiled_engine_does_not_play_is_refused() -> None:
    with pytest.raises(InputError, match="compiled engine"):
        size(fleet("lines.isp.loss=0.01"), 100, NO_COSTS, 1, ignore)
