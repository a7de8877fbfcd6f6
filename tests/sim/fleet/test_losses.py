"""The compiled engine on lines that lose frames: with the twin's fates frame by frame, and with fates of its own."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.measure.costs import NO_COSTS
from hostemu.scenario import load_scenario
from hostemu.sim import simulate, simulate_fleet
from hostemu.sim.fleet import obstacles
from tests.sim.builders import scenario
from tests.sim.fleet.fates import simulate_with_fates
from tests.sim.fleet.test_agreement import assert_same, fleet_settings, odd

S = 10**9
LOSSES = st.sampled_from([0.0, 0.05, 0.3, 0.7])
SOMETIMES_BACK_SOON = {"power.off.min": "1 s", "power.off.max": "30 s"}


@given(fleet_settings(**{"retrieval.deadline": "100000 s"}), LOSSES, LOSSES, st.booleans(), odd(S, 9 * S))
@settings(max_examples=60)
def test_the_same_losses_make_the_same_story(
    changes: dict[str, Any], down: float, up: float, is_back_soon: bool, answer_timeout: str
) -> None:
    changes |= {"retrieval.answer_timeout": answer_timeout}
    if is_back_soon:
        changes |= SOMETIMES_BACK_SOON
    free = scenario(changes)
    plan = scenario(changes | {"lines.terminals.down.loss": down, "lines.terminals.up.loss": up})
    assert obstacles(plan, NO_COSTS) == []
    slow, _ = simulate_with_fates(plan, free)
    assert_same(plan, slow, simulate_fleet(plan, threads=1))


def test_frames_are_lost_in_both_engines() -> None:
    changes = {"fleet.terminals": 50, "retrieval.retry.max_attempts": 100}
    plan = scenario(changes | {"lines.terminals.loss": 0.2})
    record, lost = simulate_with_fates(plan, scenario(changes))
    assert lost > 50
    assert record.terminals["attempts"].max() > 1


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_losses_of_its_own_come_to_the_same_in_the_mean(transport: str) -> None:
    losses = ["lines.terminals.down.loss=0.05", "lines.terminals.up.loss=0.1"]
    plan = load_scenario("thesis-uml", ["fleet.terminals=1500", f"retrieval.transport={transport}", *losses])
    slow, fast = simulate(plan), simulate_fleet(plan)
    assert fast.terminals["attempts"].mean() == pytest.approx(slow.terminals["attempts"].mean(), rel=0.05)
    assert fast.terminals["retrieved_at_ns"].mean() == pytest.approx(
        slow.terminals["retrieved_at_ns"].mean(), rel=0.05
    )
    for reason in ("refused", "silent"):
        counts = [record.extra["attempts_by_reason"][reason] for record in (fast, slow)]
        assert counts[0] == pytest.approx(counts[1], rel=0.1)
