"""Terminals that call, in SimPy: cases worked out by hand, and worlds in which nobody is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.sim.world import World
from tests.sim.builders import ends, play, scenario
from tests.sim.test_world import FLEET, LOSSY, SOME_COSTS, changes

MS = 1_000_000
S = 1_000 * MS
FRAMES_NS = 20
"""Frames of one moment follow each other by a nanosecond."""

CALLS: dict[str, Any] = {
    "retrieval.initiative": "terminal",
    "power.phase": "off",
    "power.off": {"min": "1 s", "max": "1 s"},
}
"""Every terminal wakes up at 1 s, 10 ms from its ISP server, which has its list by then; see test_exact_times."""


def near(time_ns: int) -> Any:
    """This moment, and a few frames."""
    return pytest.approx(time_ns + FRAMES_NS / 2, abs=FRAMES_NS / 2)


def test_a_call_takes_a_handshake_and_two_round_trips_from_the_wake_up() -> None:
    world = play(CALLS)
    account = world.center.accounts[1]
    # SYN, Hello, Request, and back SYN-ACK, Challenge, Information; the Call goes with the acknowledgement.
    assert world.center.finished_at_ns == near(1 * S + 70 * MS + 10 * MS)
    assert ends(world) == {1: (Outcome.RETRIEVED, Reason.NONE, 1)}
    assert account.report.exchange_ns == near(40 * MS)  # since it was accepted
    assert account.at_ns == near(1 * S + 80 * MS - 20 * MS)  # since the command was given


def test_a_terminal_that_is_on_at_first_calls_when_it_wakes_up_next() -> None:
    world = play({**CALLS, "power.phase": "on", "power.on": "5 s"})
    assert world.center.finished_at_ns == near(6 * S + 80 * MS)


def test_a_terminal_that_does_not_wake_up_in_time_is_accounted_for_at_the_deadline() -> None:
    world = play({**CALLS, "power.phase": "on"})
    assert world.center.finished_at_ns == 500 * S
    assert ends(world) == {1: (Outcome.FAILED, Reason.DEADLINE, 0)}


def test_before_the_command_terminals_are_refused_and_call_again_after_their_pause() -> None:
    world = play({**CALLS, "lines.center.delay": "600 ms"})
    assert ends(world) == {1: (Outcome.RETRIEVED, Reason.NONE, 2)}
    # Refused at 1.02 s; the list is there at 1.8 s; again at 3.02 s.
    assert world.center.finished_at_ns == near(3 * S + 20 * MS + 70 * MS + 600 * MS)


@pytest.mark.parametrize(("when_off", "reason"), [("refuse", Reason.RESET), ("silent", Reason.TIMEOUT)])
def test_a_call_that_the_off_time_cuts_off_is_repeated_at_the_next_wake_ups(when_off: str, reason: Reason) -> None:
    """The Request would come 60 ms after the wake-up; the terminal has proved by then who it is."""
    cut = {"power.on": "55 ms", "power.when_off": when_off, "power.off": {"min": "10 s", "max": "10 s"}}
    world = play({**CALLS, **cut})
    assert ends(world) == {1: (Outcome.FAILED, reason, 5)}
    assert world.isp.programs[0].attempts_by_reason == {reason: 5}
    fifth_ns = 5 * 10 * S + 4 * 55 * MS
    after_ns = 55 * MS + 10 * MS if when_off == "refuse" else 30 * MS + 2 * S
    assert world.center.finished_at_ns == near(fifth_ns + after_ns + 10 * MS)


def test_a_terminal_that_misses_its_receipt_calls_again_and_is_reported_once() -> None:
    """Information is sent 60 ms after a wake-up, and the receipt would come after 80 ms."""
    several = {"fleet.terminals": 10, "power.on": "65 ms", "power.off": {"min": "1 s", "max": "9 s"}}
    world = play({**CALLS, **several})
    assert world.center.retrieved == 10
    assert world.isp.programs[0].attempts_by_reason[Reason.NONE] > 10
    assert {attempts for _, _, attempts in ends(world).values()} == {1}


def test_calls_wait_in_the_backlog_in_the_order_in_which_they_came() -> None:
    one, ten = (play({**CALLS, "fleet.terminals": n, "retrieval.concurrency": 1}) for n in (1, 10))
    waited_ns = ten.center.finished_at_ns - one.center.finished_at_ns
    assert waited_ns == pytest.approx(9 * 40 * MS, abs=10 * FRAMES_NS)
    times_ns = [ten.center.accounts[device].at_ns for device in range(1, 11)]
    assert times_ns == sorted(times_ns)


def test_a_terminal_gives_up_waiting_and_is_found_dead_in_the_backlog() -> None:
    crowd = {"fleet": {"terminals": 100, "terminals_per_guest": 10}, "retrieval.concurrency": 1}
    world = play({**CALLS, **crowd})
    assert world.center.retrieved == 100
    assert world.isp.programs[0].attempts_by_reason[Reason.RESET] > 0
    # 2 s after its connection stands a terminal gives up, and 2 s later it calls again.
    assert {attempts for _, _, attempts in ends(world).values()} == {1, 2, 3}


@pytest.mark.parametrize("costs", [NO_COSTS, SOME_COSTS], ids=["free", "costly"])
@pytest.mark.parametrize("when_off", ["refuse", "silent"])
def test_every_blinking_terminal_gets_through(when_off: str, costs: Costs) -> None:
    lossy = {"lines.terminals": LOSSY, "retrieval.connect_timeout": "5 s"}
    plan = {**FLEET, **lossy, "retrieval.initiative": "terminal", "power.when_off": when_off}
    world = play(plan, costs)
    assert world.center.retrieved == 60
    assert sum(farm.served for farm in world.farms) >= 60
    assert (world.threads["isp-0"].busy_ns > 0) == (costs is not NO_COSTS)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plan=changes, off_ms=st.sampled_from([1, 300, 2000]), costly=st.booleans())
def test_in_any_scenario_everybody_is_accounted_for(plan: dict[str, Any], off_ms: int, costly: bool) -> None:
    power = {**plan["power"], "off": {"min": f"{off_ms} ms", "max": f"{2 * off_ms} ms"}}
    retry = {**plan["retrieval.retry"], "keeps_slot": True}
    calls = {"retrieval.initiative": "terminal", "retrieval.transport": "tcp", "retrieval.retry": retry}
    whole = scenario({**plan, **calls, "power": power})
    world = World(whole, whole.seed, SOME_COSTS if costly else NO_COSTS)
    world.play()
    found = ends(world)
    assert list(found) == list(range(1, whole.fleet.terminals + 1))
    for outcome, reason, attempts in found.values():
        assert outcome is (Outcome.RETRIEVED if reason is Reason.NONE else Outcome.FAILED)
        assert attempts <= whole.retrieval.retry.max_attempts
    assert sum(farm.served for farm in world.farms) >= world.center.retrieved
