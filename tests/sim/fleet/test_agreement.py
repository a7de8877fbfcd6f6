"""The compiled engine against the SimPy engine, terminal by terminal, over generated scenarios."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.measure.costs import NO_COSTS
from hostemu.records import RunRecord
from hostemu.scenario import Scenario, load_scenario
from hostemu.sim import simulate
from hostemu.sim.fleet import obstacles, simulate_fleet
from tests.sim.builders import scenario

S = 10**9
APART_NS = 20_000
"""Frames of one moment follow each other by a nanosecond in SimPy; here they do not."""

FEW = 40
"""Reports of so many terminals, a whole list, are no more than TCP sends at once."""


def odd(low_ns: int, high_ns: int) -> st.SearchStrategy[str]:
    """A duration that is no round number: what happens at the very same moment has no order to agree on."""
    return st.integers(low_ns, high_ns).map(lambda ns: f"{ns | 1} ns")


@st.composite
def fleet_settings(draw: st.DrawFn, **fixed: Any) -> dict[str, Any]:
    """Small fleets that the compiled engine plays."""
    terminals = draw(st.integers(1, 120))
    least_off_ns = draw(st.integers(3 * S, 40 * S))
    changes: dict[str, Any] = {
        "seed": draw(st.integers(0, 2**40)),
        "fleet.terminals": terminals,
        "fleet.terminals_per_guest": draw(st.integers(1, terminals)),
        "power.on": draw(odd(S // 10, 20 * S)),
        "power.off.min": f"{least_off_ns} ns",
        "power.off.max": f"{least_off_ns + draw(st.integers(0, 30 * S))} ns",
        "power.phase": draw(st.sampled_from(["random", "random", "on", "off"])),
        "power.off_draw": draw(st.sampled_from(["per-terminal", "per-cycle"])),
        "power.when_off": draw(st.sampled_from(["refuse", "silent"])),
        "retrieval.transport": draw(st.sampled_from(["tcp", "udp"])),
        "retrieval.authentication": draw(st.sampled_from(["xor", "hmac-sha256"])),
        "retrieval.list_size": draw(st.integers(1, FEW)),
        "retrieval.concurrency": draw(st.integers(1, FEW)),
        "retrieval.connect_timeout": draw(odd(S // 2, 8 * S)),
        "retrieval.answer_timeout": draw(odd(S, 3 * S - 2)),
        "retrieval.deadline": draw(odd(20 * S, 2000 * S)),
        "retrieval.retry.interval": draw(odd(0, 5 * S)),
        "retrieval.retry.max_attempts": draw(st.integers(1, 80)),
        "retrieval.retry.keeps_slot": True,
        "retrieval.retry.after": draw(st.sampled_from(["any", "no-contact"])),
        "retrieval.partitioned": draw(st.booleans()),
        "lines.center.delay": draw(odd(0, S // 10)),
        "lines.isp.delay": draw(odd(0, S // 50)),
        "lines.terminals.up.delay": draw(odd(0, S // 10)),
        "lines.terminals.down.delay": draw(odd(0, S // 10)),
    }
    return changes | fixed


def fleets(**fixed: Any) -> st.SearchStrategy[Scenario]:
    """The same as scenarios."""
    return fleet_settings(**fixed).map(scenario)


def assert_agree(plan: Scenario) -> None:
    """Every terminal the same; times within APART_NS."""
    assert obstacles(plan, NO_COSTS) == []
    assert_same(plan, simulate(plan), simulate_fleet(plan, threads=1))


def assert_same(plan: Scenario, slow: RunRecord, fast: RunRecord) -> None:
    """Every terminal the same; times within APART_NS."""
    for name in ("device_id", "outcome", "reason", "attempts"):
        np.testing.assert_array_equal(fast.terminals[name], slow.terminals[name], name)
    for name in ("retrieved_at_ns", "exchange_ns"):
        np.testing.assert_allclose(fast.terminals[name], slow.terminals[name], rtol=0, atol=APART_NS, err_msg=name)
    assert abs(fast.makespan_ns - slow.makespan_ns) <= APART_NS
    if fast.makespan_ns < plan.retrieval.deadline_ns:
        assert fast.extra["attempts_by_reason"] == slow.extra["attempts_by_reason"]


@given(fleets())
@settings(max_examples=40, deadline=None)
def test_every_terminal_has_the_same_story(plan: Scenario) -> None:
    assert_agree(plan)


@given(
    fleets(
        **{
            "retrieval.retry.keeps_slot": False,
            "retrieval.partitioned": False,
            "retrieval.concurrency": FEW,
            "retrieval.list_size": FEW,
        }
    )
)
@settings(max_examples=20, deadline=None)
def test_terminals_that_queue_again_have_the_same_story_where_slots_are_plenty(plan: Scenario) -> None:
    assert_agree(plan)


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_terminals_that_call_have_the_same_story(data: st.DataObject) -> None:
    """Slots may be scarce, on times shorter than a call, and off times than a time-out."""
    least_off_ns = data.draw(st.integers(S // 10, 40 * S))
    calls = {
        "retrieval.initiative": "terminal",
        "retrieval.transport": "tcp",
        "retrieval.partitioned": False,
        "retrieval.retry.after": "any",
        "retrieval.concurrency": data.draw(st.integers(1, 3) | st.integers(1, FEW)),
        "power.on": data.draw(odd(S // 20, S) | odd(S // 10, 20 * S)),
        "power.off.min": f"{least_off_ns} ns",
        "power.off.max": f"{least_off_ns + data.draw(st.integers(S // 10, 30 * S))} ns",
        "retrieval.deadline": data.draw(odd(20 * S, 300 * S)),
    }
    assert_agree(data.draw(fleets(**calls)))


@pytest.mark.parametrize("calls", [[], ["retrieval.initiative=terminal"]], ids=["asked", "calling"])
@pytest.mark.parametrize("name", ["thesis-qemu", "thesis-uml"])
def test_the_thesis_experiments(name: str, calls: list[str]) -> None:
    assert_agree(load_scenario(name, ["fleet.terminals=1600", *calls]))  # a whole list and the beginning of another


def test_terminals_that_call_at_the_same_moment_agree_in_sum() -> None:
    """Who of them comes first is the lines' affair."""
    same = {"power.off.min": "30 s", "power.off.max": "30 s", "power.phase": "off", "power.on": "5 s"}
    calls = {"retrieval.initiative": "terminal", "fleet.terminals": 300, "retrieval.concurrency": 3}
    plan = scenario({**same, **calls})
    slow, fast = simulate(plan), simulate_fleet(plan)
    assert fast.extra["attempts_by_reason"] == slow.extra["attempts_by_reason"]
    for name in ("attempts", "outcome", "reason"):
        np.testing.assert_array_equal(np.sort(fast.terminals[name]), np.sort(slow.terminals[name]))
    times = [np.sort(record.terminals["retrieved_at_ns"]) for record in (fast, slow)]
    np.testing.assert_allclose(*times, rtol=0, atol=APART_NS)


@pytest.mark.parametrize("concurrency", [20, 100])
def test_where_slots_are_scarce_terminals_that_queue_again_agree_in_sum(concurrency: int) -> None:
    settings = ["retrieval.retry.keeps_slot=false", f"retrieval.concurrency={concurrency}", "fleet.terminals=1500"]
    plan = load_scenario("thesis-uml", settings)
    slow, fast = simulate(plan), simulate_fleet(plan)
    assert fast.terminals["outcome"].tolist() == slow.terminals["outcome"].tolist()
    assert fast.terminals["attempts"].mean() == pytest.approx(slow.terminals["attempts"].mean(), rel=0.02)
    for share in (0.5, 0.9, 0.99):
        times = [np.quantile(record.terminals["retrieved_at_ns"], share) for record in (fast, slow)]
        assert times[0] == pytest.approx(times[1], rel=0.02)
