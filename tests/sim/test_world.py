"""Whole worlds: nobody is forgotten, counters add up, losses are made good."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostemu.base.streams import Stream
from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.protocol.power import PowerCycle
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.scenario.derive import list_of, power_settings
from hostemu.sim.world import World
from tests.sim.builders import ends, play, scenario

LOSSY = {"loss": 0.05, "delay": "2 ms"}
FLEET: dict[str, Any] = {
    "fleet": {"terminals": 60, "terminals_per_guest": 20},
    "power": {
        "on": "500 ms",
        "off": {"min": "300 ms", "max": "600 ms"},
        "off_draw": "per-cycle",
        "phase": "random",
        "when_off": "refuse",
    },
    "retrieval.list_size": 25,
    "retrieval.concurrency": 10,
    "retrieval.retry": {"interval": "200 ms", "max_attempts": 60, "keeps_slot": True},
    "retrieval.connect_timeout": "100 ms",
    "retrieval.answer_timeout": "5 s",
}
SOME_COSTS = Costs(80_000, 400_000, 300_000, 50_000, 15_000, cores=2, source="made up")


def _check_counters(world: World) -> None:
    for name, direction, line in world.lines():
        counters = line.counters()
        assert counters.frames_in_flight >= 0, (name, direction)
        assert counters.bytes_in_flight >= 84 * counters.frames_in_flight, (name, direction)
    forward = [line.counters() for _, direction, line in world.lines() if direction == "forward"]
    backward = [line.counters() for _, direction, line in world.lines() if direction == "backward"]
    # What came to the router went out of it again, but for what its program has not got to.
    waiting = sum(c.frames_out for c in forward) - sum(c.frames_in for c in backward)
    assert waiting == 0 if world.threads["router"].busy_ns == 0 else waiting >= 0


@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("when_off", ["refuse", "silent"])
@pytest.mark.parametrize("costs", [NO_COSTS, SOME_COSTS], ids=["free", "costly"])
def test_every_terminal_is_retrieved_in_the_end(transport: str, when_off: str, costs: Costs) -> None:
    world = play({**FLEET, "retrieval.transport": transport, "power.when_off": when_off}, costs)
    assert [end[0] for end in ends(world).values()] == [Outcome.RETRIEVED] * 60
    attempts = sum(sum(program.attempts_by_reason.values()) for program in world.isp.programs)
    assert attempts == sum(account.report.attempts for account in world.center.accounts.values())
    assert attempts > 60
    _check_counters(world)


@pytest.mark.parametrize("authentication", ["xor", "hmac-sha256"])
def test_the_center_gets_the_information_itself(authentication: str) -> None:
    world = play({**FLEET, "retrieval.authentication": authentication, "retrieval.info": "123 B"})
    assert {account.report.sealed for account in world.center.accounts.values()} == {bytes(123)}


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_losses_are_made_good_by_sending_again(transport: str) -> None:
    changes = {
        "fleet.terminals": 60,
        "retrieval.transport": transport,
        "retrieval.connect_timeout": "10 s",
        "retrieval.answer_timeout": "20 s",
        "retrieval.retry.max_attempts": 1,
    }
    lossy = {f"lines.{line}": LOSSY for line in ("center", "isp", "terminals")}
    clean, world = play(changes), play({**changes, **lossy})
    assert world.center.retrieved == 60
    lost = sum(line.counters().frames_lost for _, _, line in world.lines())
    assert lost > 20
    sent, needed = (sum(line.counters().frames_in for _, _, line in w.lines()) for w in (world, clean))
    assert sent > needed
    _check_counters(world)


def test_a_router_that_is_too_slow_for_its_load_makes_terminals_fail() -> None:
    """Nobody puts a failure rate in: frames find no room, SYN segments time out, attempts run out."""
    changes = {
        "fleet": {"terminals": 200, "terminals_per_guest": 100},
        "power": {"on": "5 s", "off": {"min": "5 s", "max": "10 s"}, "phase": "random"},
        "retrieval.concurrency": 200,
        "retrieval.retry": {"interval": "2 s", "max_attempts": 10, "keeps_slot": True},
    }
    quick, slow = (
        play(changes, Costs(router_frame_ns=ns, router_queue_frames=40, cores=4)) for ns in (10_000, 10**7)
    )
    assert quick.center.failed == 0
    assert slow.center.failed > 10
    assert slow.router_dropped > 500
    assert {reason for outcome, reason, _ in ends(slow).values() if outcome is Outcome.FAILED} <= {
        Reason.SILENT,
        Reason.TIMEOUT,
        Reason.REFUSED,
        Reason.RESET,
    }
    _check_counters(slow)


def test_frames_that_a_guest_is_too_slow_for_are_dropped_at_its_nic() -> None:
    """Those that are sent again in time are no failures; the others are."""
    slow = {"guest_frame_ns": 2_000_000, "cores": 4}
    enough, scarce = (_all_on(Costs(**slow, nic_queue_frames=room)) for room in (0, 5))
    assert (enough.nics_dropped, enough.center.failed) == (0, 0)
    assert scarce.nics_dropped > 20
    assert 0 < scarce.center.failed < 40
    _check_counters(scarce)


def test_a_guest_takes_its_time_to_refuse() -> None:
    changes = {"power.phase": "off", "power.off": {"min": "300 s", "max": "300 s"}, "retrieval.retry.max_attempts": 1}
    quick, slow = (play(changes, Costs(terminal_refused_ns=ns)) for ns in (0, 3_000_000))
    assert slow.center.accounts[1].report.exchange_ns - quick.center.accounts[1].report.exchange_ns == 3_000_000


def _all_on(costs: Costs, **changes: Any) -> World:
    lots = {"power.phase": "on", "power.on": "900 s", "power.off": {"min": "1 s", "max": "1 s"}}
    return play({"fleet": {"terminals": 40, "terminals_per_guest": 40}, **lots, **changes}, costs)


def test_every_frame_takes_its_time_in_a_guest() -> None:
    """Three frames come in before the information can go out, and three go out; ACKs may be in their way."""
    changes = {"fleet.terminals": 1, "hosts.center": "host"}
    quick, slow = (_all_on(Costs(guest_frame_ns=ns), **changes) for ns in (0, 1_000_000))
    later_ns = slow.center.accounts[1].report.exchange_ns - quick.center.accounts[1].report.exchange_ns
    assert 6_000_000 <= later_ns <= 9_000_000
    frames = slow.hosts[2].rx_frames + slow.hosts[2].tx_frames
    assert slow.threads["farm-0"].busy_ns == 1_000_000 * (frames - 1)  # the run was over before the last reset
    assert slow.threads["center"].busy_ns == 0


def test_a_guests_nic_carries_what_its_cpu_can() -> None:
    changes = {"retrieval.info": "12 kB", "retrieval.answer_timeout": "100 s", "retrieval.concurrency": 25}
    world = _all_on(Costs(guest_kib_ns=1_000_000, cores=4), **changes)
    assert world.center.retrieved == 40
    guest = world.hosts[2]
    assert world.center.finished_at_ns >= guest.tx_bytes / 1024 * 1_000_000
    assert world.threads["farm-0"].busy_ns == pytest.approx((guest.tx_bytes + guest.rx_bytes) / 1024 * 1e6, rel=0.01)
    assert _all_on(NO_COSTS, **changes).center.finished_at_ns < world.center.finished_at_ns / 2


def test_the_centers_guest_pays_for_its_frames_too() -> None:
    world = _all_on(Costs(guest_frame_ns=10_000))
    center = world.hosts[0]
    frames = center.rx_frames + center.tx_frames
    assert 10_000 * (frames - 3) <= world.threads["center"].busy_ns <= 10_000 * frames


def test_a_full_queue_drops_and_everything_is_retrieved_nevertheless() -> None:
    changes = {
        "fleet": {"terminals": 40, "terminals_per_guest": 40},
        "retrieval.retry": {"interval": "100 ms", "max_attempts": 100, "keeps_slot": True},
        "lines.isp": {"rate": "1 Mbit", "queue": "1 kB"},
    }
    world = play(changes)
    assert sum(line.counters().frames_dropped for _, _, line in world.lines()) > 0
    assert world.center.retrieved == 40
    _check_counters(world)


def test_terminals_are_on_when_their_power_cycle_says_so() -> None:
    world = play(FLEET)
    plan = world.plan
    for device_id, account in world.center.accounts.items():
        cycle = PowerCycle(power_settings(plan.scenario), plan.seed, device_id - 1)
        # The Request came 2 delays and some nanoseconds before the report did; the terminal must have been on then.
        stored_at_ns = account.at_ns + 20_000_000
        assert cycle.advance(stored_at_ns - 30_000_000), device_id


def test_lists_are_dealt_out_in_order() -> None:
    world = play({**FLEET, "power.phase": "on"})
    assert [list(list_of(world.plan.scenario, program)) for program in range(3)] == [
        list(range(25)),
        list(range(25, 50)),
        list(range(50, 60)),
    ]
    assert [len(program.keys) for program in world.isp.programs] == [25, 25, 10]


def test_loss_draws_are_those_of_the_real_line() -> None:
    world = play({"lines.terminals": LOSSY, "fleet.terminals": 3})
    _, _, line = next(found for found in world.lines() if found[:2] == ("terminals-0", "forward"))
    key = Stream.named(1, "line", "terminals-0", "forward").key
    counters = line.counters()
    draws = [Stream(key).uniform(index) for index in range(counters.frames_in)]
    assert counters.frames_lost == sum(draw < 0.05 for draw in draws)


def test_progress_goes_up_and_ends_with_everybody() -> None:
    progress = play(FLEET).center.progress
    assert progress == sorted(progress)
    assert progress[-1][1:] == (60, 0)
    assert all(b[0] - a[0] >= 200_000_000 for a, b in pairwise(progress[:-1]))


def test_costs_slow_a_crowded_run_down() -> None:
    crowd = {"fleet": {"terminals": 100, "terminals_per_guest": 50}}
    free, busy = play(crowd), play(crowd, SOME_COSTS)
    assert busy.center.finished_at_ns > free.center.finished_at_ns
    assert busy.threads["isp-0"].busy_ns == pytest.approx(100 * 400_000, rel=1e-4)
    assert busy.threads["center"].busy_ns == 100 * 50_000


lines = st.fixed_dictionaries(
    {"delay": st.sampled_from(["0 s", "1 us", "3 ms"]), "loss": st.sampled_from([0.0, 0.02, 0.3])},
    optional={"rate": st.sampled_from(["500 kbit", "10 Mbit"])},
)
changes = st.fixed_dictionaries(
    {
        "fleet": st.fixed_dictionaries(
            {"terminals": st.integers(1, 30), "terminals_per_guest": st.integers(1, 12)},
        ),
        "power": st.fixed_dictionaries(
            {
                "on": st.sampled_from(["20 ms", "500 ms"]),
                "off": st.sampled_from([{"min": "0 s", "max": "0 s"}, {"min": "300 ms", "max": "2 s"}]),
                "off_draw": st.sampled_from(["per-terminal", "per-cycle"]),
                "phase": st.sampled_from(["random", "on", "off"]),
                "when_off": st.sampled_from(["refuse", "silent"]),
            }
        ),
        "retrieval.transport": st.sampled_from(["tcp", "udp"]),
        "retrieval.authentication": st.sampled_from(["xor", "hmac-sha256"]),
        "retrieval.list_size": st.integers(1, 40),
        "retrieval.concurrency": st.integers(1, 40),
        "retrieval.deadline": st.sampled_from(["1 s", "30 s"]),
        "retrieval.retry": st.fixed_dictionaries(
            {
                "interval": st.sampled_from(["10 ms", "300 ms"]),
                "max_attempts": st.integers(1, 8),
                "keeps_slot": st.booleans(),
            }
        ),
        "lines.center": lines,
        "lines.isp": lines,
        "lines.terminals": lines,
        "seed": st.integers(0, 2**32),
    }
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=changes, costly=st.booleans())
def test_in_any_scenario_everybody_is_accounted_for(changes: dict[str, Any], costly: bool) -> None:
    plan = scenario(changes)
    world = World(plan, plan.seed, SOME_COSTS if costly else NO_COSTS)
    world.play()
    found = ends(world)
    assert list(found) == list(range(1, plan.fleet.terminals + 1))
    assert world.center.retrieved + world.center.failed == plan.fleet.terminals
    for outcome, reason, attempts in found.values():
        assert outcome is (Outcome.RETRIEVED if reason is Reason.NONE else Outcome.FAILED)
        if attempts == 0:  # time was over, or the list got lost as a whole
            assert reason in (Reason.DEADLINE, Reason.PROGRAM_LOST, Reason.TIMEOUT)
        assert attempts <= plan.retrieval.retry.max_attempts
    assert world.center.finished_at_ns <= plan.retrieval.deadline_ns
    assert sum(farm.served for farm in world.farms) >= world.center.retrieved
    _check_counters(world)
