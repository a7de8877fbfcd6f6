"""A scenario in small: as long as the whole, tried as often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.runner.forecast.predict import play_twin
from hostemu.runner.forecast.small import LEAST_ON_S, RUN_S, SLOWER, in_small, paces
from hostemu.scenario import load_scenario


@given(st.integers(1, 200), st.integers(1, 5000), st.integers(1, 300), st.integers(1, 1500))
def test_a_small_scenario_keeps_the_share_that_is_contacted(
    guests: int, terminals: int, per_guest: int, concurrency: int
) -> None:
    sets = [f"fleet.terminals={terminals}", f"fleet.terminals_per_guest={per_guest}"]
    whole = load_scenario("thesis-qemu", [*sets, f"retrieval.concurrency={concurrency}"])
    small = in_small(whole, guests)
    assert small.guests == guests
    assert 1 <= small.retrieval.concurrency <= small.retrieval.list_size
    share = min(1.0, concurrency / min(1500, terminals))
    own = small.retrieval.concurrency / min(1500, small.fleet.terminals)
    assert abs(min(1.0, own) - share) <= 1 / min(1500, small.fleet.terminals)


def test_it_lasts_as_long_and_tries_as_often_as_the_whole() -> None:
    whole = load_scenario("thesis-qemu", ["fleet.terminals=3000"])
    small = in_small(whole, 8)
    large, few = play_twin(whole, 1.0), play_twin(small, 1.0)
    assert few.makespan_s == pytest.approx(large.makespan_s, rel=0.15)
    assert few.attempts / 800 == pytest.approx(large.attempts / 3000, rel=0.1)
    assert large.peak >= 1
    assert few.engine == "fleet"


def test_it_is_played_faster_until_it_is_short_but_not_too_fast_for_programs_and_then_slower() -> None:
    scenario = load_scenario("thesis-qemu")
    for asked, makespan_s, fast in ((1.0, 100.0, 100.0 / RUN_S), (1.0, 1e6, 5.0 / LEAST_ON_S), (40.0, 10.0, 40.0)):
        assert paces(scenario, asked, makespan_s) == pytest.approx((fast, fast / SLOWER))
