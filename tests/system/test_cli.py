"""The command line, run as a user runs it, where it starts labs."""

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
from tests.command_line import ENVIRONMENT, hostemu
from tests.disturbed import undisturbed
from tests.system import unprivileged

LAB, LAB_REASON, _ = lab_possible()
needs_lab = pytest.mark.skipif(not LAB, reason=f"no lab on this machine: {LAB_REASON}")


def reasons_of(summary: dict[str, Any]) -> list[str]:
    """Why a run is invalid; none when it is valid."""
    return [] if summary["verdict"] == "valid" else list(summary["verdict"])


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
