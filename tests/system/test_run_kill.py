"""A run that is killed: what was measured is readable, and nothing is left running."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.lab import lab_possible
from hostemu.protocol.reasons import Outcome
from hostemu.records import read_record
from tests.command_line import ENVIRONMENT

LAB, LAB_REASON, _ = lab_possible()
pytestmark = pytest.mark.skipif(not LAB, reason=f"no lab on this machine: {LAB_REASON}")

MARK = "HOSTEMU_TEST_MARK"
SLOW = ("--set", "power.on=2 s", "--set", "power.off.min=15 s", "--set", "power.off.max=30 s")


def marked(mark: str) -> list[int]:
    """The processes whose environment holds the mark."""
    pids = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environment = (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"{MARK}={mark}".encode() in environment:
                pids.append(int(entry.name))
    return pids


@pytest.fixture
def long_run(tmp_path: Path) -> subprocess.Popen[bytes]:
    """A run of some 30 s that has written its first checkpoint."""
    command = [sys.executable, "-m", "hostemu", "run", "smoke", *SLOW]
    environment = {**ENVIRONMENT, MARK: str(tmp_path)}
    run = subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = Deadline.after(60, "the first checkpoint")
    deadline.wait_until(lambda: bool(list(tmp_path.rglob("record.h5"))) or run.poll() is not None, poll_s=0.1)
    assert run.poll() is None, "the run ended before its first checkpoint"
    return run


@pytest.mark.parametrize("victim", ["the user's process", "a process of the lab"])
def test_a_killed_run_leaves_a_readable_record_and_no_process(
    long_run: subprocess.Popen[bytes], tmp_path: Path, victim: str
) -> None:
    mark = str(tmp_path)
    assert len(marked(mark)) > 5
    others = [pid for pid in marked(mark) if pid != long_run.pid]
    os.kill(long_run.pid if victim == "the user's process" else min(others), signal.SIGKILL)
    status = long_run.wait(timeout=30)
    assert status == (-signal.SIGKILL if victim == "the user's process" else 1)
    Deadline.after(10, "the lab's processes to be gone").wait_until(lambda: not marked(mark), poll_s=0.05)
    (path,) = tmp_path.rglob("record.h5")
    record = read_record(path)
    assert not record.complete
    assert record.verdict == ["the run did not finish"]
    assert len(record.terminals) == 40
    assert (record.terminals["outcome"] == Outcome.PENDING).any()


def test_an_interrupted_run_ends_at_once_and_says_so(long_run: subprocess.Popen[bytes], tmp_path: Path) -> None:
    began_s = time.monotonic()
    long_run.send_signal(signal.SIGINT)
    assert long_run.wait(timeout=30) == 130
    assert time.monotonic() - began_s < 25
    Deadline.after(10, "the lab's processes to be gone").wait_until(lambda: not marked(str(tmp_path)), poll_s=0.05)
