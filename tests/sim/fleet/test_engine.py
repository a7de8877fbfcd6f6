"""The compiled engine's books, threads and limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.protocol.power import Phase, PowerCycle, PowerSettings
from hostemu.protocol.reasons import Reason
from hostemu.records import CLASSES, records_equal, summary
from hostemu.records.tally import class_bounds
from hostemu.scenario import load_scenario
from hostemu.sim import EngineName, choose_engine, simulate, simulate_fleet
from hostemu.sim.fleet import engine, obstacles
from hostemu.sim.fleet.accounts import class_of
from hostemu.sim.fleet.power import cycle_at, first_cycle
from hostemu.sim.fleet.rules import off_keys, rules_of
from tests.sim.builders import scenario

FLEET = load_scenario("thesis-uml", ["fleet.terminals=30500"])


@pytest.mark.parametrize(
    "more", [[], ["lines.terminals.loss=0.1"], ["retrieval.transport=udp", "power.off_draw=per-cycle"]]
)
@pytest.mark.parametrize("rows", [True, False])
def test_threads_change_nothing(more: list[str], rows: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "TERMINALS_AT_A_TIME", 3000)  # more pieces than threads
    plan = load_scenario("thesis-uml", ["fleet.terminals=30500", *more])
    assert records_equal(*(simulate_fleet(plan, threads=threads, rows=rows) for threads in (1, 5)))


def test_a_tally_says_what_rows_say() -> None:
    rows, tally = (simulate_fleet(FLEET, rows=wanted) for wanted in (True, False))
    assert len(rows.terminals) == 30_500
    assert len(tally.terminals) == 0
    one, other = summary(rows), summary(tally)
    for name, value in one.pop("time_to_retrieve_s").items():
        assert other["time_to_retrieve_s"][name] == pytest.approx(value, rel=1e-3)
    other.pop("time_to_retrieve_s")
    assert one == other
    assert np.array_equal(rows.progress, tally.progress)


def test_progress_ends_with_everybody() -> None:
    seen: list[tuple[int, int, int]] = []
    record = simulate_fleet(FLEET, on_progress=lambda *now: seen.append(now))
    assert sum(seen[-1]) == FLEET.fleet.terminals
    assert tuple(record.progress[-1])[1:] == (FLEET.fleet.terminals, 0)
    assert list(record.progress["t_ns"]) == sorted(set(record.progress["t_ns"]))


@pytest.mark.parametrize(
    "changes",
    [
        {"lines.isp.loss": 0.01},
        {"lines.center.rate": "1 Mbit/s"},
        {"lines.terminals.down.rate": "1 Mbit/s"},
        {"lines.center.up.loss": 0.01},
        {"retrieval.info": "15 KiB"},
        {"retrieval.info": "2 KiB", "lines.terminals.loss": 0.01},
        {"lines.terminals.up.loss": 0.01, "retrieval.answer_timeout": "10 s"},
        {"lines.terminals.delay": "130 ms", "retrieval.transport": "udp"},
        {"lines.terminals.delay": "600 ms", "retrieval.answer_timeout": "5 s"},
        {"retrieval.connect_timeout": "15 ms"},
        {"retrieval.answer_timeout": "30 ms"},
        {"lines.terminals.delay": "0 ms", "retrieval.retry.interval": "0 s"},
        {"power.when_off": "silent", "retrieval.answer_timeout": "11 s"},
    ],
)
def test_what_is_not_played_is_named_and_refused(changes: dict[str, Any]) -> None:
    plan = scenario(changes)
    assert len(obstacles(plan, NO_COSTS)) == 1
    with pytest.raises(InputError):
        simulate_fleet(plan)
    assert choose_engine(EngineName.AUTO, plan, NO_COSTS, traced=False).name is EngineName.SIMPY


@pytest.mark.parametrize("connect_timeout", ["127 s", "400 s"])
def test_a_kernel_gives_a_connection_up_by_itself(connect_timeout: str) -> None:
    timing = {"retrieval.connect_timeout": connect_timeout, "retrieval.retry.max_attempts": 1}
    plan = scenario(
        {"power.when_off": "silent", "power.phase": "off", "power.off": {"min": "450 s", "max": "450 s"}, **timing}
    )
    slow, fast = simulate(plan), simulate_fleet(plan)
    assert fast.makespan_ns == pytest.approx(slow.makespan_ns, abs=1000)
    assert fast.terminals["reason"].tolist() == slow.terminals["reason"].tolist() == [Reason.SILENT]


def test_the_compiled_engine_is_chosen_for_large_fleets_only() -> None:
    small, costs = scenario(), Costs(isp_refused_ns=1, isp_exchange_ns=2)
    assert choose_engine(EngineName.AUTO, FLEET, NO_COSTS, traced=False).name is EngineName.FLEET
    assert choose_engine(EngineName.AUTO, small, NO_COSTS, traced=False).name is EngineName.SIMPY
    assert choose_engine(EngineName.FLEET, small, NO_COSTS, traced=False).name is EngineName.FLEET
    assert choose_engine(EngineName.AUTO, FLEET, costs, traced=False).name is EngineName.SIMPY
    with pytest.raises(InputError, match="compiled engine"):
        choose_engine(EngineName.FLEET, FLEET, costs, traced=False)
    with pytest.raises(InputError, match="compiled engine"):
        choose_engine(EngineName.FLEET, FLEET, NO_COSTS, traced=True)


@given(st.integers(0, 2**63 - 1))
def test_a_time_lies_in_its_class(value_ns: int) -> None:
    number = class_of(value_ns)
    low, high = class_bounds(number)
    assert low <= value_ns < high
    assert 0 <= number < CLASSES


@given(st.integers(0, 10**9 - 1), st.sampled_from(list(Phase)), st.booleans(), st.integers(0, 10**12))
def test_a_power_cycle_is_that_of_the_protocol(index: int, phase: Phase, redraws: bool, at_ns: int) -> None:
    draw = "per-cycle" if redraws else "per-terminal"
    plan = scenario({"power.on": "5 s", "power.off.max": "60 s", "power.phase": phase.value, "power.off_draw": draw})
    rules, (key,) = rules_of(plan, 7), off_keys(7, index, 1)
    cycle = cycle_at(rules, first_cycle(rules, index, key), at_ns)
    reference = PowerCycle(PowerSettings(5 * 10**9, 10**9, 60 * 10**9, redraws, phase), 7, index)
    is_on = at_ns >= cycle.begin_ns + cycle.off_ns
    assert reference.advance(at_ns) == is_on
    assert reference.next_change_ns == cycle.begin_ns + cycle.off_ns + (5 * 10**9 if is_on else 0)
