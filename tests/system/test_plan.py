"""`hostemu plan`, and the runs that are held against it; for real, on network namespaces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostemu.records import read_record
from tests.command_line import hostemu
from tests.system.test_cli import needs_lab


@needs_lab
def test_a_run_is_held_against_its_plan(tmp_path: Path) -> None:
    quick = ("--measure", "--sizes", "1,4", "--repeats", "1", "--json", "plan.json")
    done = hostemu("plan", "smoke", "--seed", "77", *quick, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["origin"] == "measured just now"
    assert not (tmp_path / "runs").exists()  # runs in small leave nothing

    done = hostemu("run", "smoke", "--seed", "77", "--json", "run.json", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    run = json.loads((tmp_path / "run.json").read_text())
    used = run["used"]
    (path,) = tmp_path.rglob("record.h5")
    record = read_record(path)
    programs_s = sum(result["cpu_ns"] for result in record.extra["programs"].values()) / 1e9
    emulator_s = record.extra["engine"]["cpu_ns"] / 1e9
    assert used["cpu_s"] == pytest.approx(sum(used["cpu"].values()))
    assert programs_s + emulator_s < used["cpu_s"] < 60
    assert used["processes"] >= 2 + 4 + 2 + 1  # the lab's two, farms, ISP servers, center
    assert 50e6 < used["memory_bytes"] < 2e9
    assert used["start_s"] > 0

    done = hostemu("compare", "runs", "--plans", "--json", "-", cwd=tmp_path)
    (check,) = json.loads(done.stdout)["runs"]
    for name in ("memory_bytes", "cpu_s"):
        found = check["figures"][name]
        assert found["used"] == used[name]
        assert found["planned"] == plan[name]["value"]
        assert found["error"] == pytest.approx((found["planned"] - found["used"]) / found["used"])
    assert abs(check["figures"]["memory_bytes"]["error"]) < 0.25
    assert abs(check["figures"]["cpu_s"]["error"]) < 0.6  # a busy machine, and one run of each size and pace


@needs_lab
def test_a_fleet_that_does_not_fit_is_refused_before_anything_starts(tmp_path: Path) -> None:
    vast = ("smoke", "--set", "fleet.terminals=40000", "--set", "fleet.terminals_per_guest=1")
    for verb in (("run",), ("plan", "--no-measure")):
        done = hostemu(*verb, *vast, cwd=tmp_path)
        assert done.returncode == 3, done.stderr
        assert "cannot play this" in done.stderr
        assert "MemAvailable" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_sizes_that_tell_nothing_are_bad_input(tmp_path: Path) -> None:
    done = hostemu("plan", "smoke", "--sizes", "3,3", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "two different numbers of guests" in done.stderr


def test_hosts_of_a_kind_that_was_never_measured_are_not_told(tmp_path: Path) -> None:
    odd = ("--set", "retrieval.info=777 B", "--terminals", "3000")
    done = hostemu(
        "size", "thesis-uml", "--within", "300 s", "--backend", "netns", *odd, "--seeds", "1", cwd=tmp_path
    )
    assert done.returncode == 2, done.stderr
    assert "hostemu plan" in done.stderr
