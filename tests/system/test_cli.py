"""The command line, run as a user runs it: in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hostemu.lab import lab_possible
from tests.disturbed import undisturbed
from tests.system import unprivileged

LAB, LAB_REASON, _ = lab_possible()
needs_lab = pytest.mark.skipif(not LAB, reason=f"no lab on this machine: {LAB_REASON}")


ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def hostemu(*arguments: str, cwd: Path, limit_s: float = 240) -> subprocess.CompletedProcess[str]:
    """Run `hostemu ARGUMENTS` in `cwd`."""
    return subprocess.run(
        [sys.executable, "-m", "hostemu", *arguments],
        cwd=cwd,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )


def reasons_of(summary: dict[str, Any]) -> list[str]:
    """Why a run is invalid; none when it is valid."""
    return [] if summary["verdict"] == "valid" else list(summary["verdict"])


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


@needs_lab
@pytest.mark.parametrize("transport", ["tcp", "udp"])
@pytest.mark.parametrize("authentication", ["xor", "hmac-sha256"])
def test_a_real_run_accounts_for_every_terminal(tmp_path: Path, transport: str, authentication: str) -> None:
    settings = [f"retrieval.transport={transport}", f"retrieval.authentication={authentication}"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    done = hostemu("run", "smoke", *arguments, "--json", "run.json", cwd=tmp_path)
    result = json.loads((tmp_path / "run.json").read_text())
    assert done.returncode == (0 if result["verdict"] == "valid" else 1), done.stderr
    assert result["mode"] == "real"
    assert result["retrieved"] == result["terminals"] == 40
    assert result["complete"] is True
    assert result["host"]["kernel"]


@needs_lab
@pytest.mark.parametrize("when_off", ["refuse", "silent"])
def test_real_and_simulated_runs_meet_in_a_comparison(tmp_path: Path, when_off: str) -> None:
    setting = f"power.when_off={when_off}"
    assert hostemu("run", "smoke", "--set", setting, cwd=tmp_path).returncode in (0, 1)
    assert hostemu("simulate", "smoke", "--set", setting, cwd=tmp_path).returncode == 0
    done = hostemu("compare", "runs", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (comparison,) = json.loads(done.stdout)
    assert comparison["runs"] == {"netns": 1, "simulated": 1}
    assert comparison["invalid"]["netns"] == bool(comparison["left_out"])  # all there is is shown, and called invalid


@needs_lab
def test_terminals_call_for_real_as_they_do_simulated(tmp_path: Path) -> None:
    """Both take until the last wake-up, which both have from the same random numbers."""

    def play(verb: str) -> dict[str, Any]:
        done = hostemu(verb, "smoke", "--set", "retrieval.initiative=terminal", "--json", "-", cwd=tmp_path)
        assert done.returncode in (0, 1), done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        assert found["retrieved"] == 40
        assert found["makespan_s"] > 0.3
        return found

    real = undisturbed(lambda: play("run"), reasons_of)
    assert real["makespan_s"] == pytest.approx(play("simulate")["makespan_s"], abs=0.1)


@needs_lab
def test_an_overloaded_run_is_called_invalid(tmp_path: Path) -> None:
    hurry = ["--set", "fleet.terminals=400", "--set", "retrieval.concurrency=400", "--time-scale", "300"]
    done = hostemu("run", "smoke", "--set", "retrieval.list_size=400", *hurry, "--json", "run.json", cwd=tmp_path)
    result = json.loads((tmp_path / "run.json").read_text())
    assert result["verdict"] != "valid"
    assert done.returncode == 1
    assert "INVALID" in done.stderr


@needs_lab
def test_a_validation_plays_fits_and_predicts(tmp_path: Path) -> None:
    arguments = ("smoke", "--fit", "10,20", "--predict", "40", "--seeds", "1", "--predictions", "3")

    def play() -> subprocess.CompletedProcess[str]:
        shutil.rmtree(tmp_path / "validations", ignore_errors=True)
        return hostemu("validate", *arguments, "--json", "v.json", cwd=tmp_path)

    def reasons(done: subprocess.CompletedProcess[str]) -> list[str]:
        said = (done.stdout + done.stderr).splitlines()
        return [line for line in said if "no valid run to fit" in line or "left out, invalid" in line]

    done = undisturbed(play, reasons)
    assert done.returncode == 0, done.stderr
    held_out, one_out = json.loads((tmp_path / "v.json").read_text())["tables"].values()
    assert {row["terminals"] for row in held_out} == {40}
    assert {row["terminals"] for row in one_out} == {10, 20, 40}
    assert [row["error"] for row in held_out if row["quantity"] == "retrieved share"] == [0.0]
    assert hostemu("validate", *arguments, cwd=tmp_path).returncode == 2
    assert hostemu("validate", *arguments, "--continue", cwd=tmp_path).returncode == 0
    assert hostemu("validate", "smoke", "--fit", "none", "--predict", "3", cwd=tmp_path).returncode == 2


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


@needs_lab
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an ordinary user")
@pytest.mark.skipif(bool(unprivileged.impossible()), reason=unprivileged.impossible())
def test_an_ordinary_user_can_run_too() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home, stage = Path(folder) / "home", Path(folder) / "stage"
        home.mkdir()
        probe = [sys.executable, "-c", "from hostemu.lab import lab_possible; print(*lab_possible())"]
        answer = unprivileged.run(probe, home=home, stage=stage, timeout=60)
        assert answer.stdout, answer.stderr
        if not answer.stdout.startswith("True"):
            pytest.skip(f"no lab for an ordinary user: {answer.stdout}")
        assert "ordinary user" in answer.stdout
        for tun, kind in ((False, "veth"), (True, "tap")):
            doctor = unprivileged.run(
                [sys.executable, "-m", "hostemu", "doctor", "--json", "-"],
                home=home,
                stage=stage,
                tun=tun,
                timeout=60,
            )
            assert f"namespaces with {kind} interfaces" in doctor.stdout, doctor.stderr
            command = [sys.executable, "-m", "hostemu", "run", "smoke", "--json", f"{kind}.json"]
            done = unprivileged.run(command, home=home, stage=stage, tun=tun, timeout=240)
            assert (home / f"{kind}.json").exists(), done.stderr
            result = json.loads((home / f"{kind}.json").read_text())
            assert result["retrieved"] == 40, done.stderr
            assert result["host"]["root"] is False


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to forbid namespaces")
@pytest.mark.skipif(bool(unprivileged.impossible()), reason=unprivileged.impossible())
def test_where_no_lab_can_be_made_the_reason_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "here").mkdir()
    # Whoever is in a chroot may make no user namespace; without CAP_SYS_ADMIN, no other one either.
    inside = f"cd '{tmp_path}/here' && exec '{sys.executable}' -m hostemu \"$@\""
    drop = "setpriv --bounding-set=-sys_admin,-sys_chroot --inh-caps=-all"
    script = f"mount --rbind / '{tmp_path}/root' && exec chroot '{tmp_path}/root' {drop} sh -c \"$0\" sh \"$@\""
    for arguments in (["run", "smoke"], ["demo"], ["doctor"]):
        command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, inside, *arguments]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 3, done.stderr
        assert "Operation not permitted" in done.stderr
        assert "Traceback" not in done.stderr
    assert list((tmp_path / "here").iterdir()) == []


@needs_lab
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
@pytest.mark.skipif(bool(unprivileged.impossible()), reason=unprivileged.impossible())
@pytest.mark.parametrize("size", ["20k", "90k"])
def test_a_full_disk_is_named(tmp_path: Path, size: str) -> None:
    script = f"mount -t tmpfs -o size={size} tmpfs '{tmp_path}' && exec \"$@\""
    run = [sys.executable, "-m", "hostemu", "run", "smoke", "--output", str(tmp_path)]
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", script, "sh", *run]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode in (1, 3), done.stderr
    assert "space" in done.stderr or "disk" in done.stderr
    assert "Traceback" not in done.stderr
