"""A lab whose processes are killed at any moment leaves nothing behind; an ordinary user can have one, too."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.lab import call_in_lab
from tests.lab.needs import needs_lab
from tests.system import unprivileged

pytestmark = needs_lab
ROOT = Path(__file__).resolve().parents[2]
MARK = "HOSTEMU_TEST_LAB"
KILLS = 50
LIFE_S = 0.5
GONE_S = 10.0
KINDS = ("net", "pid", "mnt", "ipc", "uts")


def processes() -> Iterator[int]:
    """All processes of this machine."""
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def environment(pid: int) -> bytes:
    """A process's environment; empty when it is gone, or is a zombie."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def marked(mark: str) -> list[int]:
    """The living processes that have the mark in their environment."""
    return [pid for pid in processes() if f"{MARK}={mark}".encode() in environment(pid)]


def children(pid: int) -> list[int]:
    """A process's children."""
    try:
        return [int(c) for path in Path(f"/proc/{pid}/task").glob("*/children") for c in path.read_text().split()]
    except OSError:
        return []


def is_zombie(pid: int) -> bool:
    """Whether a process has ended and only waits for its parent, which may be the host's first process, to ask."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def now_ticks() -> int:
    """The time since boot, in the unit of a process's start time."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK"))


def started_ticks(pid: int) -> int:
    """When a process was started; 0 when it is gone.  See proc_pid_stat(5)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except OSError:
        return 0


def namespaces(pids: Iterable[int]) -> set[str]:
    """The namespaces that these processes are in, but for zombies, which keep the number of theirs only."""
    found = set()
    for pid in pids:
        if is_zombie(pid):
            continue
        for kind in KINDS:
            try:
                found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
            except OSError:
                continue
    return found


def first_child(pid: int) -> int | None:
    """The one child of a process that has one."""
    return next(iter(children(pid)), None)


def descendant(depth: int) -> Callable[[int], int | None]:
    """Finds the process so many steps below the caller."""

    def find(caller: int) -> int | None:
        pid: int | None = caller
        for _ in range(depth):
            pid = None if pid is None else first_child(pid)
        return pid

    return find


VICTIMS: dict[str, Callable[[int], int | None]] = {
    "caller": descendant(0),
    "entry": descendant(1),
    "process 1": descendant(2),
    "worker": descendant(3),
    "program": descendant(4),
}


class Life:
    """One caller of a lab, and what it touched."""

    def __init__(self, folder: Path, number: int, program: str = "tests.system.lab_life") -> None:
        """program: what `python -m` runs, with a folder for guests and the mark."""
        self.mark = f"hostemu-{os.getpid()}-{number}"
        temporary = folder / "tmp"
        temporary.mkdir(exist_ok=True)
        self.caller = subprocess.Popen(
            [sys.executable, "-m", program, str(folder / "guests"), self.mark],
            cwd=ROOT,
            env={**os.environ, MARK: self.mark, "TMPDIR": str(temporary)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.seen: set[str] = set()
        self.killed_ticks = 0

    def kill(self, victim: str) -> bool:
        """Kill the victim as soon as it exists; False when the caller has ended before."""
        while self.caller.poll() is None:
            pid = VICTIMS[victim](self.caller.pid)
            if pid is not None:
                self.seen = namespaces(marked(self.mark)) - namespaces([os.getpid()])
                self.killed_ticks = now_ticks()
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    return False
                return True
        return False

    def outcome(self, victim: str) -> str:
        """How the caller ended, and what is left on the host then."""
        try:
            status = self.caller.wait(GONE_S)
            Deadline.after(GONE_S, "the end of all").wait_until(lambda: not self.left())
        except Exception as error:
            return f"killed {victim}: {error!r}, left: {self.left()}"
        expected = (
            -signal.SIGKILL if victim == "caller" else 1 if victim in ("entry", "process 1", "worker") else status
        )
        if status != expected:
            return f"killed {victim}: the caller ended with {status}"
        return f"killed {victim}: /dev/shm is littered" if Path("/dev/shm", self.mark).exists() else ""

    def left(self) -> list[str]:
        """Processes and namespaces of the lab that are still there.

        The kernel gives a namespace's number to another soon: processes that were started since have nothing to do
        with this lab.
        """
        old = [pid for pid in processes() if started_ticks(pid) <= self.killed_ticks]
        return [f"process {pid}" for pid in marked(self.mark)] + sorted(self.seen & namespaces(old))

    def end(self) -> None:
        """Make sure that a failed test leaves nothing."""
        if self.caller.poll() is None:
            self.caller.kill()
            self.caller.wait()


def network_namespaces() -> int | None:
    """How many the kernel has, by its own account; None where only root is told and this is not root."""
    try:
        lines = Path("/proc/slabinfo").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith("net_namespace ")), None)


def settled(limit: int) -> bool:
    """Whether the count is below the limit.  The kernel frees a batch when the next one ends: give it one."""
    call_in_lab("tests.lab.inside:answer", None)
    return (network_namespaces() or 0) < limit


def test_whatever_process_is_killed_and_whenever_nothing_is_left(tmp_path: Path) -> None:
    moments = random.Random(20081124)
    interfaces, mounts = socket.if_nameindex(), Path("/proc/self/mountinfo").read_text()
    before, began_s = network_namespaces(), time.monotonic()
    kills = dict.fromkeys(VICTIMS, 0)
    for number in range(3 * KILLS):
        victim = min(kills, key=lambda name: (kills[name], name))
        life = Life(tmp_path, number)
        try:
            time.sleep(moments.uniform(0, LIFE_S))  # the moment is what is tested
            killed = life.kill(victim)
            assert life.outcome(victim if killed else "nobody") == ""
        finally:
            life.end()
        kills[victim] += killed
        if sum(kills.values()) >= KILLS:
            break
    print(f"killed {kills} in {time.monotonic() - began_s:.0f} s")
    assert sum(kills.values()) >= KILLS
    assert socket.if_nameindex() == interfaces
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert list((tmp_path / "tmp").iterdir()) == []
    if before is not None:
        limit = before + KILLS  # a lab has six; others may run labs of their own
        Deadline.after(20, "the kernel to free namespaces").wait_until(lambda: settled(limit), poll_s=0.2)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an ordinary user")
@pytest.mark.skipif(bool(unprivileged.impossible()), reason=unprivileged.impossible())
def test_an_ordinary_user_has_labs_with_veth_nics_and_tcp_between_them(tmp_path: Path) -> None:
    home, stage = tmp_path / "home", tmp_path / "stage"
    for folder in (home, stage):
        folder.mkdir()
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(folder.stat().st_mode | 0o055)
    program = (
        "import json\n"
        "from hostemu.lab import call_in_lab, lab_possible\n"
        "possible = lab_possible()\n"
        "tcp = call_in_lab('tests.lab.traffic:tcp', 'veth', timeout_s=60) if possible[0] else None\n"
        "print(json.dumps([possible, tcp]))\n"
    )
    done = unprivileged.run([sys.executable, "-c", program], home=home, stage=stage, timeout=120)
    assert done.returncode == 0, done.stderr
    possible, tcp = json.loads(done.stdout)
    if not possible[0]:
        pytest.skip(f"no lab for an ordinary user: {possible[1]}")
    assert "user" in possible[1]
    assert tcp["kinds"] == ["veth", "veth"]
    assert set(tcp["arrived"].values()) == {8 << 20}
    assert min(tcp["largest"]) > 3000
    shutil.rmtree(home)
