"""The compiled engine on lines that lose frames: with the twin's fates frame by frame, and with fates of its own."""

from __future__ import annotations

import math
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
from tests.sim.fleet.test_agreement import assert_same, fleet_settings

MS = 10**6
DURATIONS = (
    ("power.on", 100, 20_000, 311_007),
    ("retrieval.connect_timeout", 500, 8000, 503_111),
    ("retrieval.answer_timeout", 1000, 9000, 701_393),
    ("retrieval.retry.interval", 0, 5000, 59_999),
    ("lines.isp.delay", 0, 20, 13_791),
    ("lines.terminals.up.delay", 0, 100, 21_137),
    ("lines.terminals.down.delay", 0, 100, 9_773),
)
"""From and to how many ms, and how many ns more: what differs by nanoseconds between engines must not come first."""

LOSSES = st.sampled_from([0.0, 0.05, 0.3, 0.7])


@st.composite
def lossy_settings(draw: st.DrawFn) -> dict[str, Any]:
    """Small fleets with time for every attempt; terminals may be off for less than an answer is waited for."""
    terminals = draw(st.integers(1, 30))
    off_ms = sorted((draw(st.integers(1000, 30_000)), draw(st.integers(1000, 30_000))))
    fixed = {
        "fleet.terminals": terminals,
        "fleet.terminals_per_guest": terminals,
        "retrieval.deadline": "100000 s",
        "retrieval.retry.max_attempts": draw(st.integers(1, 20)),
        "power.off.min": f"{off_ms[0]}401231 ns",
        "power.off.max": f"{off_ms[1]}401231 ns",
    }
    for key, low_ms, high_ms, rest_ns in DURATIONS:
        fixed[key] = f"{draw(st.integers(low_ms, high_ms)) * MS + rest_ns} ns"
    return draw(fleet_settings(**fixed))


@given(lossy_settings(), LOSSES, LOSSES)
@settings(max_examples=50, derandomize=True)
def test_the_same_losses_make_the_same_story(changes: dict[str, Any], down: float, up: float) -> None:
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
        one, other = (record.extra["attempts_by_reason"][reason] for record in (fast, slow))
        assert abs(one - other) <= 4 * math.sqrt(one + other)  # four standard deviations of counts of rare events
