"""Sweeps are carried out once: whatever ends them, finished runs stay, and the rest goes on."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.errors import InputError, RecordError, RunError
from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.runner import cluster as clusters
from hostemu.runner.cluster import Here, cluster, play_remotely
from hostemu.runner.sweep import FORM, Plan, Run, finished, run_sweep
from hostemu.scenario import load_scenario
from hostemu.sim import EngineName
from hostemu.sim.sweep import CHOSEN, Task, parse_axis, points, split

SMALL = ["fleet.terminals=200", "retrieval.list_size=100", "retrieval.concurrency=10"]


def plan(replications: int = 2, costs: Costs = NO_COSTS, *more: str) -> Plan:
    """Two settings of the concurrency, so many seeds each."""
    settings = [*SMALL, *more]
    base, axis = load_scenario("thesis-uml", settings), parse_axis("concurrency=10,50")
    runs = {
        point: Run(load_scenario("thesis-uml", [*settings, *split(point.settings)[0]]), costs)
        for point in points([axis], 3, replications)
    }
    return Plan(base, (axis,), runs, {CHOSEN: costs}, EngineName.FLEET if costs is NO_COSTS else EngineName.AUTO)


def ignore(_event: dict[str, Any]) -> None:
    pass


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without other processes."""
    monkeypatch.setattr(clusters.os, "sched_getaffinity", lambda _pid: {0})


@pytest.mark.usefixtures("here")
def test_every_run_is_played_and_told(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    whole = plan()
    swept = run_sweep(whole, tmp_path / "sweep.jsonl", events.append, resume=False)
    assert set(swept.runs) == set(whole.runs)
    assert [event["done"] for event in events] == [0, 1, 2, 3, 4]
    found = finished(whole, swept)
    assert [sorted(by_seed) for by_seed in found.values()] == [[3, 4], [3, 4]]
    slow, quick = (by_seed[3]["makespan_s"] for by_seed in found.values())
    assert quick < slow
    assert FORM.read(tmp_path / "sweep.jsonl").runs == swept.runs


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("cut", [1, 40, 300])
def test_what_was_cut_off_is_played_again_and_the_rest_is_not(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "sweep.jsonl"
    whole = plan()
    run_sweep(whole, path, ignore, resume=False)
    before = path.read_bytes()
    path.write_bytes(before[:-cut])
    kept = path.read_bytes().rpartition(b"\n")[0]
    swept = run_sweep(whole, path, ignore, resume=True)
    assert path.read_bytes().startswith(kept)
    assert [json.loads(line)["summary"] for line in path.read_bytes().splitlines()[1:]] == [
        json.loads(line)["summary"] for line in before.splitlines()[1:]
    ]
    assert len(swept.runs) == 4


@pytest.mark.usefixtures("here")
def test_more_seeds_may_be_added_later(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    run_sweep(plan(1), path, ignore, resume=False)
    assert len(run_sweep(plan(3), path, ignore, resume=True).runs) == 6
    assert path.read_bytes().count(b"\n") == 7


@pytest.mark.usefixtures("here")
def test_another_sweep_does_not_go_on_and_none_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "sweep.jsonl"
    run_sweep(plan(1), path, ignore, resume=False)
    before = path.read_bytes()
    with pytest.raises(InputError, match="already"):
        run_sweep(plan(1), path, ignore, resume=False)
    with pytest.raises(InputError, match="another sweep"):
        run_sweep(plan(1, NO_COSTS, "power.on=7 s"), path, ignore, resume=True)
    assert path.read_bytes() == before


def test_an_engine_that_cannot_play_a_run_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="compiled engine"):
        run_sweep(plan(1, NO_COSTS, "lines.isp.loss=0.1"), tmp_path / "new" / "sweep.jsonl", ignore, resume=False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("text", ["", '{"entry":"campaign","schema":1}\n', '{"entry":"sweep","schema":9}\n'])
def test_a_file_that_is_no_sweep_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "sweep.jsonl"
    path.write_text(text)
    with pytest.raises(RecordError, match="no sweep"):
        FORM.read(path)


def test_all_cores_of_this_machine_share_a_sweep(tmp_path: Path) -> None:
    whole = plan(3)
    swept = run_sweep(whole, tmp_path / "sweep.jsonl", ignore, resume=False)
    alone = dict(Here().compute({p: Task(r.scenario.to_toml(), r.costs, "fleet") for p, r in whole.runs.items()}))
    assert swept.runs == alone


def test_a_sweep_survives_the_death_of_a_worker(tmp_path: Path) -> None:
    from dask.distributed import LocalCluster

    killed: list[int] = []
    whole = plan(3, Costs(isp_refused_ns=1, isp_exchange_ns=2))  # by SimPy: long enough to be killed in
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local:

        def kill_one(event: dict[str, Any]) -> None:
            if event["done"] == 2 and not killed:
                killed.append(local.workers[0].pid)
                os.kill(killed[0], signal.SIGKILL)

        swept = run_sweep(whole, tmp_path / "sweep.jsonl", kill_one, resume=False, address=local.scheduler_address)
    assert killed
    assert set(swept.runs) == set(whole.runs)


def test_a_cluster_that_is_not_there_is_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clusters, "CONNECT_S", 1.0)
    with pytest.raises(InputError, match="no Dask cluster"), cluster("tcp://127.0.0.1:1", 2):
        pass


def test_a_worker_of_another_version_refuses() -> None:
    with pytest.raises(RunError, match="another version"):
        play_remotely("0.0.0", Task("", NO_COSTS, "auto"), 1)
