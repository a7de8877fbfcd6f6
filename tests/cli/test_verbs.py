"""The command line, run as a user runs it, where it starts no lab."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import hostemu


def test_version_and_help(tmp_path: Path) -> None:
    assert hostemu("--version", cwd=tmp_path).stdout.startswith("hostemu ")
    text = hostemu("--help", cwd=tmp_path).stdout
    assert all(
        verb in text for verb in ("demo", "plan", "run", "simulate", "compare", "doctor", "calibrate", "tables")
    )


def test_a_scenario_that_does_not_exist_is_named_with_the_shipped_ones(tmp_path: Path) -> None:
    done = hostemu("run", "no-such-thing", cwd=tmp_path)
    assert done.returncode == 2
    assert "no-such-thing" in done.stderr
    assert "thesis-qemu" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_models_of_the_thesis_are_taken_by_name_for_the_backends_that_they_have(tmp_path: Path) -> None:
    thesis = ["smoke", "--model", "thesis-2008-models", "--json", "-"]
    done = hostemu("simulate", *thesis, "--backend", "qemu", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "taken to cost nothing: isp_refused, isp_exchange" in done.stderr
    assert json.loads(done.stdout)["engine"] == "simpy"  # computation is not free
    for verb in ("simulate", "size"):
        within = ["--within", "20 s"] if verb == "size" else []
        refused = hostemu(verb, *thesis, *within, cwd=tmp_path)
        assert refused.returncode == 2
        assert "--backend kvm or qemu or" in refused.stderr


@pytest.mark.parametrize("verb", ["run", "simulate"])
def test_a_wrong_override_names_key_and_value(tmp_path: Path, verb: str) -> None:
    done = hostemu(verb, "smoke", "--set", "power.onn=5 s", cwd=tmp_path)
    assert done.returncode == 2
    assert "power.on" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_scenario_file_with_a_wrong_value_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "broken.toml"
    shipped = hostemu("simulate", "smoke", "--set", "fleet.terminals=0", cwd=tmp_path)
    assert shipped.returncode == 2
    broken.write_text("schema = 1\nname = ")
    done = hostemu("simulate", str(broken), cwd=tmp_path)
    assert done.returncode == 2
    assert "broken.toml" in done.stderr


def test_an_unknown_backend_is_bad_input(tmp_path: Path) -> None:
    done = hostemu("run", "smoke", "--backend", "vax", cwd=tmp_path)
    assert done.returncode == 2
    assert "netns" in done.stderr


def test_comparing_a_file_that_is_no_record_is_bad_input(tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.h5"
    stranger.write_text("not HDF5")
    done = hostemu("compare", str(stranger), cwd=tmp_path)
    assert done.returncode == 2
    assert "stranger.h5" in done.stderr
    assert hostemu("compare", str(tmp_path / "absent"), cwd=tmp_path).returncode == 2


def test_simulating_gives_a_record_and_json(tmp_path: Path) -> None:
    done = hostemu("simulate", "smoke", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["mode"] == "simulated"
    assert result["retrieved"] + sum(result["failed"].values()) == result["terminals"]
    assert len(list(tmp_path.rglob("record.h5"))) == 1


def test_a_large_fleet_is_played_by_the_compiled_engine_which_says_so(tmp_path: Path) -> None:
    done = hostemu("simulate", "thesis-uml", "--terminals", "1e5", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["engine"], result["terminals"], result["retrieved"]) == ("fleet", 100_000, 100_000)
    assert "engine fleet: " in done.stderr


def test_the_engine_that_plays_a_small_fleet_says_why(tmp_path: Path) -> None:
    done = hostemu("simulate", "smoke", "--json", "-", cwd=tmp_path)
    assert json.loads(done.stdout)["engine"] == "simpy"
    assert "engine simpy: the compiled engine cannot play this: lines.isp has a rate" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--engine", "fleet", "--set", "lines.isp.loss=0.1"),
        ("--engine", "fleet", "--trace", "trace.txt"),
        ("--terminals", "1.5"),
        ("--terminals", "inf"),
        ("--terminals", "2e9"),
    ],
)
def test_a_fleet_that_cannot_be_simulated_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = hostemu("simulate", "thesis-uml", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "found" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("initiative", "most"), [("server", 1500), ("terminal", 20)])
def test_a_fleet_is_sized(tmp_path: Path, initiative: str, most: int) -> None:
    fleet = ("--terminals", "2e4", "--set", f"retrieval.initiative={initiative}")
    done = hostemu("size", *fleet, "--within", "120 s", "--seeds", "2", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["chosen"]["interval"]["high"] <= result["within_s"] == 120
    assert 0 < result["chosen"]["concurrency"] < most
    assert "bottleneck" in done.stderr
    for wrong in (("--within", "120"), ("--within", "0 s"), ("--within", "99 h")):
        assert hostemu("size", *wrong, cwd=tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_over_backends_and_cores_has_the_costs_of_each(tmp_path: Path) -> None:
    swept = ("--sweep", "backend=uml,qemu", "--sweep", "cores=1,4", "--set", "retrieval.concurrency=20")
    done = hostemu("simulate", "smoke", *swept, "--model", "thesis-2008-models", "--json", "sweep.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {tuple(row["settings"].values()): row for row in json.loads((tmp_path / "sweep.json").read_text())}
    assert set(found) == {("uml", "1"), ("uml", "4"), ("qemu", "1"), ("qemu", "4")}
    times = {kind: row["quantities"]["time, s"]["mean"] for kind, row in found.items()}
    assert times["qemu", "1"] > times["uml", "1"]
    header = json.loads((tmp_path / "sweeps" / "smoke" / "sweep.jsonl").read_text().splitlines()[0])
    assert header["costs"]["qemu"]["guest_frame"] > header["costs"]["uml"]["guest_frame"]


SWEEP = ("simulate", "smoke", "--sweep", "concurrency=5,20", "--replications", "3")


def test_a_sweep_shows_every_setting_and_goes_on_where_it_was_killed(tmp_path: Path) -> None:
    whole = hostemu(*SWEEP, "--json", "whole.json", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    results = json.loads((tmp_path / "whole.json").read_text())
    assert [result["settings"] for result in results] == [{"retrieval.concurrency": v} for v in ("5", "20")]
    assert all(len(result["seeds"]) == 3 for result in results)
    file = tmp_path / "sweeps" / "smoke" / "sweep.jsonl"
    file.write_bytes(file.read_bytes()[:-10])
    assert hostemu(*SWEEP, cwd=tmp_path).returncode == 2
    again = hostemu(*SWEEP, "--continue", "--json", "-", cwd=tmp_path)
    assert json.loads(again.stdout) == results


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--sweep", "concurency=1,2"), "concurency"),
        (("--sweep", "concurrency=1,none"), "retrieval.concurrency"),
        (("--replications", "2", "--trace", "t"), "trace"),
        (("--sweep", "host.cores=1,2"), "takes no time"),
        (("--sweep", "host.backend=uml,qemu"), "no --model"),
        (("--sweep", "host.backend=uml,vax", "--model", "thesis-2008-models"), "vax"),
        (("--sweep", "host.cores=1,some", "--model", "thesis-2008-models", "--backend", "uml"), "whole number"),
        (("--continue",), "--sweep"),
        (("--dask", "tcp://127.0.0.1:1"), "--sweep"),
    ],
)
def test_a_sweep_that_is_none_is_refused_before_anything_is_made(
    tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    done = hostemu("simulate", "smoke", *arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_models_tells_what_a_file_predicts(tmp_path: Path) -> None:
    done = hostemu("models", "thesis-2008-models", "--at", "budget_bytes=4GiB", "--backend", "uml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "70.0" in done.stdout  # 35 in 2 GB
    assert "extrapolated" in done.stdout.replace("\n", "")
    for wrong in ("colour=3", "budget_bytes=much", "4GiB"):
        assert hostemu("models", "thesis-2008-models", "--at", wrong, cwd=tmp_path).returncode == 2


def test_validate_predicts_what_the_thesis_published(tmp_path: Path) -> None:
    always_on = ["--set", "power.phase=on", "--set", "power.on=900 s"]  # quick, and far from what was published
    done = hostemu(
        "validate", "thesis-qemu", "--published", "--predictions", "2", *always_on, "--json", "v.json", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (rows,) = json.loads((tmp_path / "v.json").read_text())["tables"].values()
    (time,) = (row for row in rows if row["quantity"] == "time, s")
    assert time["measured"]["mean"] == 257
    assert time["error"] < -0.9
    assert time["is_covered"] is False


@pytest.mark.parametrize(
    "arguments", [["smoke", "--published"], ["thesis-uml", "--published", "--fit", "3"], ["smoke"]]
)
def test_validate_says_what_it_needs(arguments: list[str], tmp_path: Path) -> None:
    done = hostemu("validate", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "expected" in done.stderr
