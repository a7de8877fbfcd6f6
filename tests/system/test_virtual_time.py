"""`hostemu run --time virtual`, and guests of a calendar: real kernels whose time is the simulation's."""

from __future__ import annotations

import json
import multiprocessing
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hostemu.base.deadline import Deadline
from hostemu.guests.kernels import find_kernel
from hostemu.lab import call_in_lab
from hostemu.measure.kernel_entries import CHILDREN, faults_in
from hostemu.records import read_record
from tests.command_line import ENVIRONMENT, hostemu
from tests.contract.conftest import require
from tests.guests.kernels import lean_kernel, may_build
from tests.lab.needs import needs_lab
from tests.system.test_run_kill import MARK, marked

pytestmark = [needs_lab, may_build]

MS = 1_000_000
VIRTUAL = ("run", "smoke", "--time", "virtual")


@pytest.fixture(autouse=True)
def _kernel() -> None:
    require("uml")
    lean_kernel("uml")


def _spin() -> None:
    while True:
        pass


@contextmanager
def busy_cores(count: int = 3) -> Iterator[None]:
    """Other processes want all cores."""
    others = [multiprocessing.Process(target=_spin, daemon=True) for _ in range(count)]
    for other in others:
        other.start()
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.join()


def played(folder: Path, *words: str) -> Path:
    """The folder of a run in virtual time that was valid."""
    done = hostemu(*VIRTUAL, *words, "--json", "run.json", cwd=folder)
    assert done.returncode == 0, done.stderr
    result = json.loads((folder / "run.json").read_text())
    assert (result["mode"], result["retrieved"], result["verdict"]) == ("virtual", 40, "valid")
    (record,) = (folder / "runs").rglob("record.h5")
    return record.parent


@pytest.mark.parametrize("delay_ms", [1, 10, 100])
def test_round_trips_are_as_long_as_their_lines(delay_ms: int) -> None:
    result: dict[str, Any] = call_in_lab("tests.system.virtual_guests:ping", {"delay_ns": delay_ms * MS, "count": 5})
    times_us = [round(1000 * float(text)) for text in re.findall(r"time=([0-9.]+) ms", result["said"])]
    assert len(times_us) == 5
    assert all(0 <= time_us - 4000 * delay_ms <= 1 for time_us in times_us)  # a clock takes 256 ns to be read
    assert result["counters"]["late"] == 0


def test_frames_take_the_time_that_is_charged_for_them() -> None:
    """Either frame of an echo, of 98 octets, is paid for by who sends it and by who is handed it."""
    frame_ns, kib_ns, count = 200_000, 1_024_000, 5
    argument = {"delay_ns": 10 * MS, "count": count, "charge": {"frame_ns": frame_ns, "kib_ns": kib_ns}}
    result: dict[str, Any] = call_in_lab("tests.system.virtual_guests:ping", argument)
    times_us = [round(1000 * float(text)) for text in re.findall(r"time=([0-9.]+) ms", result["said"])]
    each_us = (frame_ns + 98 * kib_ns // 1024) // 1000
    assert len(times_us) == count
    assert all(0 <= time_us - 40_000 - 4 * each_us <= 2 for time_us in times_us)
    assert all(charged_ns >= 2 * count * each_us * 1000 for charged_ns in result["charged_ns"])


def test_system_calls_take_the_time_that_is_charged_for_them() -> None:
    """dd makes two for each octet, and some more."""
    call_ns, octets = 10_000, (100, 1100)
    commands = [["busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={count}"] for count in octets]
    few, many = call_in_lab(
        "tests.system.virtual_guests:charged", {"charge": {"call_ns": call_ns}, "commands": commands}
    )
    assert many["charged_ns"] - few["charged_ns"] == pytest.approx(2000 * call_ns, rel=0.02)
    assert many["took_ns"] - few["took_ns"] == pytest.approx(2000 * call_ns, rel=0.1)


def test_page_faults_take_the_time_that_is_charged_for_them() -> None:
    """As many as the guest's kernel counts, by which what is measured of other guests is divided."""
    fault_ns = 10_000
    commands = [["sh", "-c", CHILDREN.format(count=count)] for count in (10, 110, 110)]
    few, many, again = call_in_lab(
        "tests.system.virtual_guests:charged", {"charge": {"fault_ns": fault_ns}, "commands": commands}
    )
    counted = [
        faults_in(after) - faults_in(before) for before, after in (m["said"].splitlines() for m in (few, many))
    ]
    assert (many["charged_ns"] - few["charged_ns"]) / fault_ns == pytest.approx(counted[1] - counted[0], rel=0.1)
    assert again["charged_ns"] == pytest.approx(many["charged_ns"], rel=0.02)
    assert many["took_ns"] >= many["charged_ns"]


def test_runs_repeat_byte_by_byte_however_busy_the_machine_is(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("quiet", "busy", "other")]
    for folder in folders:
        folder.mkdir()
    quiet = played(folders[0])
    with busy_cores():
        busy = played(folders[1])
    frames = (quiet / "frames.bin").read_bytes()
    assert len(frames) > 1000 * 32
    assert (busy / "frames.bin").read_bytes() == frames
    one, two = read_record(quiet / "record.h5"), read_record(busy / "record.h5")
    for name in ("terminals", "lines", "hosts", "refusals", "progress"):
        assert np.array_equal(getattr(one, name).tobytes(), getattr(two, name).tobytes()), name
    other = played(folders[2], "--seed", "2")
    assert (other / "frames.bin").read_bytes() != frames


def test_a_guest_that_dies_while_it_boots_is_told_at_once(tmp_path: Path) -> None:
    kernel = tmp_path / "kernel"
    shutil.copyfile(find_kernel("uml", None).path, kernel)
    kernel.chmod(0o755)
    began_s = time.monotonic()
    done = hostemu(*VIRTUAL, "--set", 'hosts.memory="1 MiB"', "--kernel", str(kernel), cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "guest-" in done.stderr
    assert time.monotonic() - began_s < 40


def test_a_killed_run_leaves_no_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hostemu", "run", "thesis-uml", "--time", "virtual"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=tmp_path, env={**ENVIRONMENT, MARK: str(tmp_path)}, **quiet) as run:
        Deadline.after(120, "34 guests").wait_until(lambda: len(marked(str(tmp_path))) > 3 * 34, 0.1)
        run.kill()
    Deadline.after(10, "the lab's processes to be gone").wait_until(lambda: not marked(str(tmp_path)), 0.05)


def test_a_kernel_may_be_the_router_and_runs_repeat(tmp_path: Path) -> None:
    """The thesis' figure 2: guests share a network, and a guest of two interfaces forwards to the ISP host."""
    small = ("fleet.terminals=20", "fleet.terminals_per_guest=10", "retrieval.concurrency=20", "hosts.wiring=segment")
    settings = [word for key in small for word in ("--set", key)]
    frames = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        command = ("run", "thesis-uml", "--time", "virtual", "--time-scale", "20", *settings, "--json", "run.json")
        done = hostemu(*command, cwd=tmp_path / name)
        assert done.returncode == 0, done.stderr
        (path,) = (tmp_path / name).rglob("record.h5")
        frames.append((path.parent / "frames.bin").read_bytes())
    record = read_record(path)
    hosts = {row["name"].decode(): row for row in record.hosts}
    assert set(hosts) == {"center", "isp", "router", "guest-0", "guest-1"}
    passed = int(hosts["isp"]["tx_frames"] + hosts["isp"]["rx_frames"])
    assert passed > 200
    assert hosts["router"]["tx_frames"] == pytest.approx(
        passed, abs=20
    )  # kernels say some things of their own accord
    assert json.loads((tmp_path / "two" / "run.json").read_text())["retrieved"] == 20
    assert frames[0] == frames[1]


def test_a_run_in_virtual_time_is_as_the_simulated_one(tmp_path: Path) -> None:
    """Both spend nothing on computation; the protocol and its random numbers are the same."""
    played(tmp_path)
    simulated = json.loads(hostemu("simulate", "smoke", "--json", "-", cwd=tmp_path).stdout)
    found = json.loads((tmp_path / "run.json").read_text())
    assert found["makespan_s"] == pytest.approx(simulated["makespan_s"], abs=0.05)


@pytest.mark.skipif(shutil.which("linux.uml") is None, reason="no kernel of the distribution's for User-mode Linux")
def test_a_kernel_without_a_clock_that_can_be_driven_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    done = hostemu(*VIRTUAL, cwd=tmp_path / "cwd", HOSTEMU_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 3, done.stderr
    assert "hostemu kernel build uml" in done.stderr
    assert list((tmp_path / "cwd").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--backend", "qemu"], "--backend uml"),
        (["--set", "hosts.wiring=tap", "--set", "lines={}"], "hosts.wiring"),
        (["--set", "hosts.center=host"], "hosts.center"),
        (["--set", "lines.terminals.delay=0 ms", "--set", "lines.center.delay=0 ms"], "lines that take time"),
    ],
)
def test_what_cannot_be_played_is_refused_before_anything_is_made(
    words: list[str], said: str, tmp_path: Path
) -> None:
    done = hostemu(*VIRTUAL, *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
