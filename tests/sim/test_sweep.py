"""What a sweep plays, and that a point of it is the run that it says."""

from __future__ import annotations

import pytest

from hostemu.base.errors import InputError, ScenarioError
from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.records import summary
from hostemu.sim import simulate
from hostemu.sim.sweep import CHOSEN, NOT_KEPT, Axis, Point, Task, backends, costs_on, parse_axis, points, split
from tests.sim.builders import scenario


@pytest.mark.parametrize(
    ("text", "axis"),
    [
        ("retrieval.concurrency=100,200", Axis("retrieval.concurrency", ("100", "200"))),
        ("concurrency = 100 , 200", Axis("retrieval.concurrency", ("100", "200"))),
        ("terminals.up.loss=0,0.01", Axis("lines.terminals.up.loss", ("0", "0.01"))),
        ("off.max=45 s", Axis("power.off.max", ("45 s",))),
        ("cores=1,2", Axis("host.cores", ("1", "2"))),
        ("host.backend=uml,qemu", Axis("host.backend", ("uml", "qemu"))),
        ("terminals_per_guest=50", Axis("fleet.terminals_per_guest", ("50",))),
    ],
)
def test_a_key_may_be_given_by_its_end(text: str, axis: Axis) -> None:
    assert parse_axis(text) == axis


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("delay=1 ms", "lines.center.delay"),
        ("concurency=1", "unknown key concurency"),
        ("retrieval.concurency=1", "retrieval.concurrency"),
        ("concurrency", "KEY=VALUE"),
        ("concurrency=", "KEY=VALUE"),
        ("concurrency=1,,2", "KEY=VALUE"),
        ("=1", "KEY=VALUE"),
        ("concurrency=1,1", "twice"),
    ],
)
def test_an_axis_that_is_none_is_named(text: str, says: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_axis(text)
    assert says in str(caught.value)


def test_every_combination_has_the_same_seeds_and_seeds_come_one_after_the_other() -> None:
    made = points([Axis("a", ("1", "2")), Axis("b", ("x", "y"))], 7, 2)
    assert len(made) == 8
    assert [point.seed for point in made] == [7] * 4 + [8] * 4
    assert made[0] == Point((("a", "1"), ("b", "x")), 7)
    assert [point.settings for point in made[:4]] == [point.settings for point in made[4:]]
    assert points([], 3, 2) == [Point((), 3), Point((), 4)]


def test_the_host_of_a_point_is_told_apart_from_its_scenario() -> None:
    kinds = {"uml": Costs(isp_refused_ns=5, cores=2), CHOSEN: Costs(isp_refused_ns=7, cores=2)}
    settings = (("power.on", "3 s"), ("host.backend", "uml"), ("host.cores", "8"), ("host.router_queue_frames", "9"))
    changes, host = split(settings)
    assert backends([parse_axis("backend=uml,qemu")]) == ("uml", "qemu")
    assert backends([parse_axis("cores=1,2")]) == (CHOSEN,)
    assert changes == ["power.on=3 s"]
    assert costs_on(host, kinds) == Costs(isp_refused_ns=5, cores=8, router_queue_frames=9)
    assert costs_on({}, kinds) == kinds[CHOSEN]
    for wrong in ("many", "0", "1.5"):
        with pytest.raises(InputError, match="cores"):
            costs_on({"host.cores": wrong}, kinds)
    with pytest.raises(InputError, match="takes no time"):
        costs_on({"host.cores": "4"}, {CHOSEN: NO_COSTS})


def test_sweeps_that_make_no_sense_are_refused() -> None:
    with pytest.raises(InputError, match="twice"):
        points([Axis("a", ("1",)), Axis("a", ("2",))], 1, 1)
    with pytest.raises(InputError, match="too large"):
        points([Axis("a", tuple(map(str, range(1000))))], 1, 1000)


def test_a_point_is_the_run_of_its_scenario_and_seed() -> None:
    plan = scenario({"fleet.terminals": 12, "power.on": "5 s", "power.off.max": "30 s", "power.phase": "random"})
    whole = summary(simulate(plan, seed=5))
    assert Task(plan.to_toml(), NO_COSTS, "simpy").play(5) == {k: v for k, v in whole.items() if k not in NOT_KEPT}
    assert Task(plan.to_toml(), NO_COSTS, "fleet").play(5)["retrieved"] == whole["retrieved"]


def test_what_is_played_faster_is_told_as_it_was_meant() -> None:
    plan = scenario({"fleet.terminals": 12, "power.on": "5 s", "power.off.max": "30 s", "power.phase": "random"})
    meant = Task(plan.to_toml(), NO_COSTS, "simpy").play(5)
    faster = Task(plan.scaled(10.0).to_toml(), NO_COSTS, "simpy", 10.0).play(5)
    assert faster["time_scale"] == 10.0
    assert faster["makespan_s"] == pytest.approx(meant["makespan_s"], rel=0.05)
