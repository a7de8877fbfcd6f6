"""`hostemu doctor` as a user runs it, on machines that lack this or that."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from hostemu.guests import offered
from hostemu.guests.kvm_probe import probe_kvm
from hostemu.runner.tools import TOOLS
from tests.lab.needs import POSSIBLE, needs_lab
from tests.system import unprivileged

ROOT = Path(__file__).resolve().parents[2]
WIDE = {"COLUMNS": "250", "PYTHONPATH": str(ROOT)}
LIMIT_S = 15.0

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an ordinary user")
needs_tools = pytest.mark.skipif(bool(unprivileged.impossible()), reason=unprivileged.impossible())


def doctor(
    *arguments: str, env: Mapping[str, str] = WIDE, preexec_fn: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `hostemu doctor ARGUMENTS`; never longer than it may take."""
    start_s = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "hostemu", "doctor", *arguments],
        env={**os.environ, **env},
        preexec_fn=preexec_fn,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert time.monotonic() - start_s < LIMIT_S
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def plain() -> list[dict[str, Any]]:
    """What doctor says of this machine as it is."""
    done = doctor("--json", "-")
    assert done.returncode == 0, done.stderr
    assert "BR_MAX_PORTS" in done.stderr  # the tables, since standard output is taken
    return rows(done)


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """What was written as JSON to standard output."""
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def named(found: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in found if row["name"] == name)


@needs_lab
def test_every_backend_program_and_limit_is_in_the_tables() -> None:
    done = doctor()
    assert done.returncode == 0, done.stderr
    for name in ("lab", *(f"backend {name}" for name in offered()), "backend auto", *(tool.name for tool in TOOLS)):
        assert name in done.stdout
    for limit in ("kernel.pid_max", "RLIMIT_NOFILE", "BR_MAX_PORTS", "MemAvailable", "32 × 200"):
        assert limit in done.stdout
    assert "guests of 200 terminals fit here" in done.stdout


@needs_lab
def test_json_says_the_same(plain: list[dict[str, Any]]) -> None:
    assert named(plain, "lab")["usable"]
    assert named(plain, "backend netns")["usable"]
    assert "namespaces" in named(plain, "backend netns")["detail"]
    assert named(plain, "BR_MAX_PORTS")["current"] == 1023


@needs_lab
@pytest.mark.skipif("kvm" not in offered(), reason="this version has no backend kvm")
def test_a_kvm_that_cannot_run_guests_is_found_out_and_auto_passes_it_over(plain: list[dict[str, Any]]) -> None:
    kvm, auto = named(plain, "backend kvm"), named(plain, "backend auto")
    if not probe_kvm().usable:
        assert not kvm["usable"]
        assert kvm["detail"].startswith("unusable because ")
        assert auto["choice"] != "kvm"
    if kvm["usable"]:
        assert auto["choice"] == "kvm"


@needs_lab
def test_limits_of_the_size_that_is_asked_for_are_told_before_they_are_hit() -> None:
    done = doctor("--guests", "1500000", "--terminals-per-guest", "10", "--json", "-")
    assert done.returncode == 0, done.stderr
    asked = [row for row in rows(done) if row["kind"] == "limit" and row["plan"]["guests"] == 1_500_000]
    hit = {row["name"] for row in asked if not row["usable"]}
    assert {"kernel.pid_max", "MemAvailable"} & hit
    assert all(row["fix"] for row in asked if row["name"] in hit)
    assert named(asked, "BR_MAX_PORTS")["ok"] is False
    (room,) = (row for row in rows(done) if row["kind"] == "capacity" and row["plan"]["guests"] == 1_500_000)
    assert room["usable"] is False
    assert 0 < room["room"] < 1_500_000
    assert "for 1500000 netns guests of 10 terminals" in done.stderr


@needs_lab
def test_a_limit_of_the_shell_is_seen() -> None:
    limit = 64 + 40 * 6  # enough for the thesis' 34 hosts but not for a hundred

    def few_files() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    command = [
        sys.executable,
        "-m",
        "hostemu",
        "doctor",
        "--guests",
        "100",
        "--terminals-per-guest",
        "1",
        "--json",
        "-",
    ]
    done = subprocess.run(
        command,
        env={**os.environ, **WIDE},
        preexec_fn=few_files,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (asked,) = (row for row in rows(done) if row["name"] == "RLIMIT_NOFILE" and row["plan"]["guests"] == 100)
    assert asked["current"] == limit
    assert asked["usable"] is False
    assert asked["fix"].startswith("ulimit -Hn ")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--backend", "vax"], "vax"),
        (["--guests", "0"], "guests"),
        (["--guests", "many"], "guests"),
        (["--terminals-per-guest", "-1"], "terminals"),
    ],
)
def test_a_size_or_a_backend_that_is_none_is_bad_input(arguments: list[str], word: str) -> None:
    done = doctor(*arguments)
    assert done.returncode == 2
    assert word in done.stderr


@needs_lab
def test_missing_programs_come_with_one_command_that_installs_them(tmp_path: Path) -> None:
    done = doctor("--json", "-", env={**WIDE, "PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    found = rows(done)
    if Path("/usr/bin/qemu-system-x86_64").exists():
        assert named(found, "qemu-system-x86_64")["usable"] is False
    missing = [row for row in found if row["kind"] == "program" and not row["usable"]]
    assert missing
    (line,) = (line for line in done.stderr.splitlines() if line.strip().startswith("programs: "))
    for row in missing:
        assert "install" in row["fix"]
        assert row["missing"]
    assert "iperf3" in line
    assert line.split().count("gcc") <= 1


HANGING = """
import importlib.abc, sys, time, signal
class Late(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "hostemu.runner.backends":
            from hostemu.guests.netns import NetnsBackend
            def probe(self):
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(600)
            NetnsBackend.probe = probe
sys.meta_path.insert(0, Late())
"""
"""A netns backend whose probe hangs, deaf to requests to end: Python's start-up imports this."""


@needs_lab
def test_a_backend_that_hangs_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANGING)
    mark = f"hostemu-test-{os.getpid()}"
    done = doctor("--json", "-", env={"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "MARK": mark})
    assert done.returncode == 3, done.stderr
    netns = named(rows(done), "backend netns")
    assert netns["usable"] is False
    assert "no answer within" in netns["detail"]
    assert "cannot play scenarios for real" in done.stderr
    assert alive(mark) == []


def alive(mark: str) -> list[str]:
    """Processes with this mark in their environment, a moment after their lab's end."""
    end_s = time.monotonic() + 5
    while (left := list(_marked(mark))) and time.monotonic() < end_s:
        time.sleep(0.05)
    return left


def _marked(mark: str) -> Iterator[str]:
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                yield path.parent.name
        except OSError:
            continue


@pytest.fixture
def homes() -> Iterator[tuple[Path, Path]]:
    """A home and a folder for mounts that an ordinary user can reach."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home = Path(folder) / "home"
        home.mkdir()
        yield home, Path(folder) / "stage"


@needs_root
@needs_tools
def test_an_ordinary_user_without_user_namespaces_is_told_why_and_what_to_do(homes: tuple[Path, Path]) -> None:
    home, stage = homes
    command = ["env", "COLUMNS=250", sys.executable, "-m", "hostemu", "doctor", "--json", "doctor.json"]
    start_s = time.monotonic()
    done = unprivileged.run(command, home=home, stage=stage, caged=True, timeout=60)
    assert time.monotonic() - start_s < LIMIT_S
    assert done.returncode == 3, done.stderr
    found = json.loads((home / "doctor.json").read_text())
    assert named(found, "lab")["usable"] is False
    assert "Operation not permitted" in named(found, "lab")["detail"]
    for name in offered():
        backend = named(found, f"backend {name}")
        assert backend["usable"] is False
        assert "it was not tried: no lab can be made" in backend["detail"]
    said = done.stderr
    assert "this machine cannot play scenarios for real" in said
    assert "Operation not permitted" in said
    assert "to do: run as root, or allow user namespaces" in said
    assert "Traceback" not in said
    assert "lab: " in done.stdout.partition("To do")[2]
    assert named(found, "kernel.pid_max")["current"] > 0
    assert named(found, "RLIMIT_NPROC")["current"] is not None or _nproc_is_unlimited()


def _nproc_is_unlimited() -> bool:
    return resource.getrlimit(resource.RLIMIT_NPROC)[0] == resource.RLIM_INFINITY


@needs_root
@needs_tools
@pytest.mark.skipif(not POSSIBLE, reason="no namespaces to take away")
def test_where_user_namespaces_are_counted_out_the_setting_is_named(tmp_path: Path) -> None:
    # A user namespace in which there may be no further one, and a process in it without any capability.
    drop = 'exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"'
    script = f"echo 0 > /proc/sys/user/max_user_namespaces && {drop}"
    command = ["unshare", "--user", "--map-root-user", "sh", "-ec", script, "sh"]
    done = subprocess.run(
        [*command, sys.executable, "-m", "hostemu", "doctor", "--json", str(tmp_path / "doctor.json")],
        env={**os.environ, **WIDE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert "sysctl -w user.max_user_namespaces=" in done.stderr
    found = json.loads((tmp_path / "doctor.json").read_text())
    assert named(found, "user.max_user_namespaces")["current"] == 0
    assert named(found, "user.max_user_namespaces")["usable"] is False


@needs_root
@needs_tools
@needs_lab
def test_an_ordinary_user_with_user_namespaces_gets_a_lab(homes: tuple[Path, Path]) -> None:
    home, stage = homes
    done = unprivileged.run(
        [sys.executable, "-m", "hostemu", "doctor", "--json", "-"], home=home, stage=stage, timeout=60
    )
    found = rows(done)
    lab = named(found, "lab")
    if not lab["usable"]:
        assert done.returncode == 3
        pytest.skip(f"no lab for an ordinary user: {lab['detail']}")
    assert "ordinary user" in lab["detail"]
    assert named(found, "backend netns")["usable"], done.stderr


@needs_root
@needs_tools
def test_auto_without_a_lab_is_refused_before_anything_is_made(homes: tuple[Path, Path]) -> None:
    home, stage = homes
    before = sorted(home.iterdir())
    command = [sys.executable, "-m", "hostemu", "run", "smoke", "--backend", "auto"]
    done = unprivileged.run(command, home=home, stage=stage, caged=True, timeout=60)
    assert done.returncode == 3, done.stderr
    assert "does not let a lab be made" in done.stderr
    assert [path for path in sorted(home.iterdir()) if path.name != "numba"] == before


@needs_lab
def test_run_with_auto_takes_what_doctor_says(tmp_path: Path, plain: list[dict[str, Any]]) -> None:
    auto = named(plain, "backend auto")
    command = [sys.executable, "-m", "hostemu", "run", "smoke", "--backend", "auto", "--json", "run.json"]
    done = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, **WIDE}, capture_output=True, text=True, timeout=240, check=False
    )
    if auto["choice"] is None:
        assert done.returncode == 3
        assert "no machine emulator works here" in done.stderr
        assert list(tmp_path.iterdir()) == []
    else:
        assert f"backend {auto['choice']}: " in done.stderr
        assert json.loads((tmp_path / "run.json").read_text())["backend"] == auto["choice"]
