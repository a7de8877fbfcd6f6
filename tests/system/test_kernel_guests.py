"""Whole runs on guests with kernels of their own: in every wiring, as an ordinary user, with mistakes."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hostemu.guests.kernels import kernels_dir
from tests.command_line import hostemu
from tests.contract.conftest import require
from tests.guests.kernels import lean_kernel, may_build
from tests.lab.needs import needs_lab
from tests.system import unprivileged

pytestmark = [needs_lab, may_build]

ONE_LINE = 'lines={center={delay="1 ms"},terminals={delay="1 ms"}}'
WIRINGS = {
    "gine": [],
    "tap": ["--set", "hosts.wiring=tap", "--set", "lines={}"],
    "multicast": ["--set", "hosts.wiring=segment", "--set", "hosts.segment=multicast", "--set", ONE_LINE],
    "switch": ["--set", "hosts.wiring=segment", "--set", "hosts.segment=switch", "--set", ONE_LINE],
}
PROGRAMS = {
    "center in a namespace": ["--set", "hosts.center=host"],
    "terminals call": ["--set", "retrieval.initiative=terminal"],
    "silent, hmac, udp": ["--set", "power.when_off=silent", "--set", "retrieval.transport=udp"],
}


def run(tmp_path: Path, *words: str) -> dict[str, Any]:
    """The result of a run that came to its end; a slow machine may have made it invalid."""
    done = hostemu("run", "smoke", *words, "--json", "run.json", cwd=tmp_path)
    assert done.returncode in (0, 1), done.stderr
    result: dict[str, Any] = json.loads((tmp_path / "run.json").read_text())
    return result


def assert_all_retrieved(tmp_path: Path, backend: str, settings: list[str]) -> None:
    result = run(tmp_path, "--backend", backend, *settings)
    assert (result["retrieved"], result["failed"], result["backend"]) == (40, {}, backend)
    assert result["complete"]


@pytest.mark.parametrize("wiring", WIRINGS)
@pytest.mark.parametrize("backend", ["uml", "qemu"])
def test_every_terminal_is_retrieved_in_every_wiring(backend: str, wiring: str, tmp_path: Path) -> None:
    require(backend)
    if wiring == "switch" and not shutil.which("vde_switch"):
        pytest.skip("not found: vde_switch")
    assert_all_retrieved(tmp_path, backend, WIRINGS[wiring])


@pytest.mark.parametrize("programs", PROGRAMS)
@pytest.mark.parametrize("backend", ["uml", pytest.param("qemu", marks=pytest.mark.heavy)])
def test_every_terminal_is_retrieved_by_every_kind_of_program(backend: str, programs: str, tmp_path: Path) -> None:
    require(backend)
    assert_all_retrieved(tmp_path, backend, PROGRAMS[programs])


def test_namespaces_are_wired_directly_too(tmp_path: Path) -> None:
    assert run(tmp_path, *WIRINGS["tap"])["retrieved"] == 40


def test_a_wiring_that_a_backend_does_not_have_is_bad_input(tmp_path: Path) -> None:
    done = hostemu("run", "smoke", *WIRINGS["switch"], cwd=tmp_path)
    assert done.returncode == 2
    assert "netns guests cannot be wired" in done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["--set", "hosts.wiring=tap"], "the emulator is not there"),
        (["--set", "hosts.wiring=segment"], "the same line for center and terminals"),
        (["--set", "hosts.wiring=string"], "hosts.wiring"),
    ],
)
def test_settings_that_exclude_each_other_are_bad_input(settings: list[str], said: str, tmp_path: Path) -> None:
    done = hostemu("run", "smoke", "--backend", "uml", *settings, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr


def test_a_kernel_that_is_none_is_bad_input(tmp_path: Path) -> None:
    require("uml")
    (tmp_path / "kernel").write_text("no kernel")
    done = hostemu("run", "smoke", "--backend", "uml", "--kernel", "kernel", cwd=tmp_path)
    assert done.returncode == 2
    assert not (tmp_path / "runs").exists()


def test_namespaces_have_no_kernel_to_choose(tmp_path: Path) -> None:
    done = hostemu("run", "smoke", "--kernel", sys.executable, cwd=tmp_path)
    assert done.returncode == 2
    assert "no kernel of their own" in done.stderr


@pytest.mark.skipif(bool(unprivileged.impossible()), reason=unprivileged.impossible())
@pytest.mark.parametrize(("backend", "kind"), [("uml", "uml"), ("qemu", "x86")])
def test_an_ordinary_user_has_guests_with_kernels(backend: str, kind: Any) -> None:
    require(backend)
    lean_kernel(kind)
    with tempfile.TemporaryDirectory() as folder:
        home, stage = Path(folder, "home"), Path(folder, "stage")
        shutil.copytree(kernels_dir(), home / ".cache/hostemu/kernels", ignore=shutil.ignore_patterns(".*"))
        for path in (folder, home, *home.rglob("*")):
            shutil.chown(path, unprivileged.UID, unprivileged.UID)
        Path(folder).chmod(0o755)
        probe = [sys.executable, "-c", "from hostemu.lab import lab_possible; print(lab_possible()[0])"]
        if "True" not in unprivileged.run(probe, home=home, stage=stage, timeout=60).stdout:
            pytest.skip("ordinary users may not make namespaces here")
        command = [sys.executable, "-m", "hostemu", "run", "smoke", "--backend", backend, "--json", "run.json"]
        done = unprivileged.run(command, home=home, stage=stage, tun=True, timeout=240)
        assert done.returncode in (0, 1), done.stderr
        assert json.loads((home / "run.json").read_text())["retrieved"] == 40
