"""From scenario to record."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from hostemu.measure.costs import Costs
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.records import read_record, records_equal, summary, write_record
from hostemu.scenario import load_scenario
from hostemu.sim import simulate
from tests.sim.builders import scenario
from tests.sim.test_world import FLEET, SOME_COSTS


@pytest.mark.parametrize("costs", [Costs(), SOME_COSTS], ids=["free", "costly"])
def test_a_record_is_written_and_read_again(tmp_path: Path, costs: Costs) -> None:
    record = simulate(scenario(FLEET), costs=costs)
    write_record(record, tmp_path / "record.h5")
    assert records_equal(read_record(tmp_path / "record.h5"), record)


def test_the_record_says_what_was_played() -> None:
    plan = scenario(FLEET)
    record = simulate(plan)
    assert (record.mode, record.engine, record.complete, record.verdict) == ("simulated", "simpy", True, [])
    assert (record.seed, record.scenario_name, record.scenario_text) == (1, "small", plan.to_toml())
    assert simulate(plan, seed=5).seed == 5


def test_every_terminal_has_its_row_in_order_of_its_device_id() -> None:
    changes = {**FLEET, "retrieval.retry.max_attempts": 2}
    record = simulate(scenario(changes))
    terminals = record.terminals
    assert list(terminals["device_id"]) == list(range(1, 61))
    retrieved = terminals["outcome"] == Outcome.RETRIEVED
    assert 0 < retrieved.sum() < 60
    assert (terminals["retrieved_at_ns"][retrieved] > 0).all()
    assert (terminals["retrieved_at_ns"][~retrieved] == -1).all()
    assert set(terminals["reason"][~retrieved]) == {Reason.REFUSED}
    assert summary(record)["failed"] == {"refused": int((~retrieved).sum())}
    assert summary(record)["makespan_s"] == record.makespan_ns / 1e9


def test_lines_and_hosts_are_all_there_and_add_up() -> None:
    record = simulate(scenario(FLEET), costs=SOME_COSTS)
    names = [b"center", b"isp", b"terminals-0", b"terminals-1", b"terminals-2"]
    assert [tuple(row)[:2] for row in record.lines] == [
        (name, direction) for name in names for direction in (b"forward", b"backward")
    ]
    for unit in ("frames", "bytes"):
        out = sum(record.lines[f"{unit}_{what}"] for what in ("out", "lost", "dropped", "in_flight"))
        assert np.array_equal(record.lines[f"{unit}_in"], out)
    assert np.array_equal(record.hosts["tx_frames"], record.lines["frames_in"][::2])
    assert np.array_equal(record.hosts["rx_frames"], record.lines["frames_out"][1::2])
    assert list(record.hosts["kind"]) == [b"center", b"isp", b"terminals", b"terminals", b"terminals"]
    assert (record.hosts["cpu_s"] > 0).all()


def test_progress_is_told_while_it_goes_and_kept() -> None:
    told: list[tuple[int, int, int]] = []
    record = simulate(scenario(FLEET), on_progress=lambda *row: told.append(row))
    assert told == [tuple(row) for row in record.progress]
    assert told[-1] == (record.makespan_ns, 60, 0)


def test_a_trace_changes_nothing() -> None:
    trace = io.StringIO()
    plan = scenario(FLEET)
    assert records_equal(simulate(plan, trace=trace), simulate(plan))
    moments = [int(line.split(" ", 1)[0]) for line in trace.getvalue().splitlines()]
    assert moments == sorted(moments)
    assert trace.getvalue().endswith("center finished 60 retrieved 0 failed\n")


def test_no_costs_are_the_same_as_costs_of_zero() -> None:
    plan = scenario(FLEET)
    assert records_equal(simulate(plan, costs=Costs()), simulate(plan))


def test_a_cost_of_one_nanosecond_hardly_changes_the_outcome() -> None:
    plan = scenario({**FLEET, "power.phase": "on", "fleet.terminals": 10})
    free, almost_free = simulate(plan), simulate(plan, costs=Costs(1, 4, 2, 1, 1))
    assert np.array_equal(free.terminals["attempts"], almost_free.terminals["attempts"])
    assert abs(free.makespan_ns - almost_free.makespan_ns) < 1000


def test_a_scenario_played_faster_takes_the_time_of_the_original_divided() -> None:
    """Kernel timers are not scaled, but without loss none of them ever fires."""
    plan = scenario({**FLEET, "power.off_draw": "per-terminal"})
    slow, fast = simulate(plan), simulate(plan.scaled(4))
    assert fast.makespan_ns * 4 == pytest.approx(slow.makespan_ns, rel=0.05)
    assert fast.terminals["attempts"].sum() == pytest.approx(slow.terminals["attempts"].sum(), rel=0.05)


@pytest.mark.parametrize("name", ["smoke", "thesis-qemu"])
def test_shipped_scenarios_are_simulated(name: str) -> None:
    record = simulate(load_scenario(name, ["fleet.terminals=40", "fleet.terminals_per_guest=10"]))
    assert summary(record)["retrieved"] == 40
