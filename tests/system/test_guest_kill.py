"""The tool is killed while guests with kernels of their own start and run: nothing of them is left."""

from __future__ import annotations

import random
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.contract.conftest import require
from tests.guests.kernels import may_build
from tests.lab.needs import needs_lab
from tests.system.guest_life import GUESTS, KINDS
from tests.system.test_lab_kill import Life, marked

pytestmark = [needs_lab, may_build]

FEW, MANY = 6, 20
"""Guests of each kind."""

MOMENTS_S = (0.7, 2.5, 6.0)
"""While the first start, while most start, when all are up."""

KILLS = 50
LONGEST_S = 14.0
VICTIMS = ("caller", "caller", "process 1", "worker")
"""The tool itself, more often than other processes of the lab."""


@contextmanager
def nothing_changes(folder: Path) -> Iterator[None]:
    """The host's interfaces, mounts, shared memory and folder for temporary files are as before."""

    def look() -> dict[str, object]:
        return {
            "interfaces": socket.if_nameindex(),
            "mounts": Path("/proc/self/mountinfo").read_text(),
            "shared memory": sorted(path.name for path in Path("/dev/shm").iterdir()),
            "temporary files": sorted(str(path) for path in folder.rglob("*")),
        }

    folder.mkdir(exist_ok=True)
    before = look()
    yield
    assert look() == before


def name_and_parent(pid: int) -> tuple[str, int]:
    """What a process calls itself, and its parent; nothing of one that is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "", 0
    head, _, fields = text.rpartition(")")
    return head.partition("(")[2], int(fields.split()[1])


def running(mark: str) -> Counter[str]:
    """How many guests of each kind there are, by their virtualisers; a User-mode Linux is many processes."""
    virtualisers = {"linux": "uml", "qemu-system-x86": "qemu"}
    found: Counter[str] = Counter()
    for name, parent in map(name_and_parent, marked(mark)):
        if name in virtualisers and name_and_parent(parent)[0] != name:
            found[virtualisers[name]] += 1
    return found


def kill_once(folder: Path, number: int, moment_s: float, victim: str) -> str:
    """One life with guests, ended after so long; returns what was seen, and fails when anything is left."""
    with nothing_changes(folder / "tmp"):
        life = Life(folder, number, "tests.system.guest_life")
        try:
            time.sleep(moment_s)  # the moment is what is tested
            there = running(life.mark)
            killed = life.kill(victim)
            began_s = time.monotonic()
            assert life.outcome(victim if killed else "nobody") == ""
            gone_s = time.monotonic() - began_s
        finally:
            life.end()
    return f"{moment_s:5.2f} s: {there['uml']:3} uml, {there['qemu']:3} qemu; {victim} killed, gone in {gone_s:.2f} s"


@pytest.fixture
def every_kind() -> None:
    """Skip where one of the kinds cannot be had."""
    for name, _ in KINDS:
        require(name)


@pytest.mark.usefixtures("every_kind")
def test_nothing_is_left_of_guests_whose_tool_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GUESTS, str(FEW))
    for number, moment_s in enumerate(MOMENTS_S):
        print(kill_once(tmp_path, number, moment_s, "caller"))


@pytest.mark.heavy
@pytest.mark.timeout(3600)
@pytest.mark.usefixtures("every_kind")
def test_nothing_is_left_whenever_the_tool_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(GUESTS, str(MANY))
    moments = random.Random(20081124)
    seen = []
    for number in range(KILLS):
        moment_s, victim = moments.uniform(0.0, LONGEST_S), moments.choice(VICTIMS)
        seen.append(kill_once(tmp_path, number, moment_s, victim))
        print(seen[-1], flush=True)
    assert len(seen) == KILLS
    assert any(f" {MANY} uml, {MANY:3} qemu" in line for line in seen), "the machine was too slow for all to be up"
