"""Workloads in the simulator: answers come when lines and work let them."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.scenario.workload import Workload
from hostemu.sim.workload import WorkloadWorld

MS = 1_000_000
CLIENT = {
    "command": ["ask"],
    "line": {"delay": "10 ms"},
    "simulated": {"asks": "server", "request": "100 B", "answer": "1000 B"},
}
SERVER = {"command": ["serve"], "ends": False, "line": {"delay": "1 ms"}, "simulated": {"work": "0 s"}}


def world_of(client: dict[str, object], server: dict[str, object], **more: object) -> WorkloadWorld:
    groups = {"server": {**SERVER, **server}, "client": {**CLIENT, **client}}
    document = {"schema": 1, "kind": "workload", "name": "pair", "deadline": "60 s", "groups": groups, **more}
    return WorkloadWorld(Workload.model_validate(document))


def played(client: dict[str, object], server: dict[str, object], **more: object) -> WorkloadWorld:
    world = world_of(client, server, **more)
    world.play()
    return world


def values_of(world: WorkloadWorld) -> list[list[float]]:
    return [row.values for row in world.records if row.group == "client"]


def test_a_small_answer_takes_two_round_trips() -> None:
    (values,) = values_of(played({}, {}))
    assert values == [pytest.approx(0.044)]


def test_work_is_done_one_after_the_other() -> None:
    world = played({"count": 5}, {"simulated": {"work": "7 ms"}})
    times = sorted(value for values in values_of(world) for value in values)
    assert times[0] == pytest.approx(0.051)
    assert [later - earlier for earlier, later in pairwise(times)] == [pytest.approx(0.007)] * 4


def test_a_large_answer_takes_what_its_line_lets_through() -> None:
    size = 1_000_000
    client = {"line": {"delay": "10 ms", "rate": "10 Mbit"}, "simulated": {"asks": "server", "answer": f"{size} B"}}
    (values,) = values_of(played(client, {}))
    least_s = size / 1448 * 1538 * 8 / 10e6
    assert least_s < values[0] < 1.1 * least_s + 0.2


def test_pauses_and_starts_are_kept() -> None:
    client = {
        "count": 2,
        "starts": "1 s",
        "stagger": "250 ms",
        "simulated": {"asks": "server", "times": 3, "pause": "2 s"},
    }
    rows = [row for row in played(client, {}).records if row.group == "client"]
    assert [row.started_ns for row in rows] == [1000 * MS, 1250 * MS]
    for row in rows:
        assert len(row.values) == 3
        assert row.ended_ns - row.started_ns == pytest.approx(3 * 2e9 + sum(row.values) * 1e9, abs=10)


def test_nobody_there_is_an_exit_status() -> None:
    groups = {"server": {**SERVER, "simulated": {"asks": "client"}}, "client": CLIENT}
    document = {"schema": 1, "kind": "workload", "name": "pair", "deadline": "60 s", "groups": groups}
    world = WorkloadWorld(Workload.model_validate(document))
    world.play()
    assert [row.exit_status for row in world.records] == [1, 1]


def test_the_deadline_ends_all() -> None:
    world = played({"simulated": {"asks": "server", "times": 100, "pause": "1 s"}}, {}, deadline="5 s")
    assert world.clock.now_ns == 5000 * MS
    assert [row.ended_ns for row in world.records if row.group == "client"] == [-1]


def test_what_nobody_has_described_is_not_made_up() -> None:
    with pytest.raises(InputError, match="does not know what the programs of group client do"):
        world_of({"simulated": None}, {})


@given(st.integers(1, 6), st.integers(1, 200_000), st.floats(0, 0.02))
def test_every_octet_arrives_whatever_is_lost(count: int, size: int, loss: float) -> None:
    client = {
        "count": count,
        "line": {"delay": "3 ms", "rate": "50 Mbit", "loss": loss},
        "simulated": {"asks": "server", "answer": f"{size} B", "times": 2},
    }
    world = played(client, {}, deadline="600 s")
    assert [len(values) for values in values_of(world)] == [2] * count
    assert all(row.exit_status == 0 for row in world.records if row.group == "client")
