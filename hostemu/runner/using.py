"""What a real run uses of the machine, taken down when its programs begin and when the last terminal is done."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hostemu.base.errors import HostError
from hostemu.guests.api import Guest
from hostemu.measure.lab_use import RUNNER, LabUse, Parts
from hostemu.runner.layout import Layout

CENTER, ISP, GUESTS = "center", "isp", "guests"
PARTS = (CENTER, ISP, GUESTS)
"""What the lab's processes are parted into, beside its runner: center, ISP host, terminal guests."""


class UseMeter:
    """Takes down what the lab has used.  began_ns: when the run was asked for, of the monotonic clock."""

    def __init__(self, layout: Layout, began_ns: int) -> None:
        self._lab = LabUse()
        self._kinds = {layout.center.name: CENTER, layout.isp.name: ISP}
        self._farms = {farm.host.name for farm in layout.farms}
        self._began_ns = began_ns
        self._guests: Mapping[str, Guest] = {}
        self._standing: Parts = {}
        self._settling: Parts = {}
        self._start: Parts = {}
        self._started_ns = began_ns
        self._watched_s = 0.0
        self._settled_s = 0.0

    def settle(self, guests: Mapping[str, Guest], seconds: float) -> None:
        """Everything is ready: look for so long at what it costs to stand there; for 0 s not at all.

        Looking itself, through all processes, takes the lab's runner tens of milliseconds, which do not count.
        """
        self._guests = guests
        if seconds > 0:
            began_s = time.monotonic()
            first, before = self._cpu_s(), self._cpu_s()
            time.sleep(seconds)
            after = self._cpu_s()
            self._settled_s = time.monotonic() - began_s
            self._settling = {name: value - first[name] for name, value in after.items()}
            looking = {name: value - first[name] for name, value in before.items()}
            self._standing = {
                name: max(0.0, value - before[name] - looking[name]) / seconds for name, value in after.items()
            }

    def started(self) -> None:
        """The programs have been told when to start."""
        self._start = self._cpu_s()
        self._started_ns = time.monotonic_ns()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Around the loop that listens to the programs and keeps the record: what it takes, it takes per second."""
        before_s = time.thread_time()
        yield
        self._watched_s = time.thread_time() - before_s

    def finished(self, folder: Path) -> dict[str, Any]:
        """The last terminal is done, and nothing has been stopped: everything that was used.

        Seconds and bytes of this machine, whatever the time scale.  cpu_start_s: until the programs were started.
        standing_cpu: per second of waiting, where that was looked at; watch_cpu: per second of listening to programs.
        disk_bytes: files in the run's folder so far.
        Memory is left out where the kernel does not tell.
        """
        run_s = (time.monotonic_ns() - self._started_ns) / 1e9
        cpu, machine = self._cpu_s(), self._lab.machine()
        memory = self._memory()
        return {
            "cpu_s": sum(cpu.values()),
            "cpu_start_s": sum(self._start.values()),
            **({"memory_bytes": sum(memory.values())} if memory else {}),
            "start_s": (self._started_ns - self._began_ns) / 1e9 - self._settled_s,
            "run_s": run_s,
            "cores": len(os.sched_getaffinity(0)),
            "processes": self._lab.processes(),
            "disk_bytes": disk_bytes(folder),
            "cpu": cpu,
            "cpu_start": self._start,
            "standing_cpu": self._standing,
            "watch_cpu": {RUNNER: self._watched_s / run_s},
            "memory": memory,
            "machine": machine,
        }

    def _memory(self) -> Parts:
        """By part; nothing where this kernel does not let processes be looked into: no reason for a run to fail."""
        with suppress(HostError):
            return self._lab.memory_bytes(self._pids())
        return {}

    def _cpu_s(self) -> Parts:
        """Until now, without what was used while the lab settled."""
        return {name: value - self._settling.get(name, 0.0) for name, value in self._lab.cpu_s(self._pids()).items()}

    def _pids(self) -> dict[str, list[int]]:
        """The processes of each part; a router that is a guest is the runner's."""
        found: dict[str, list[int]] = {name: [] for name in PARTS}
        for name, guest in self._guests.items():
            kind = GUESTS if name in self._farms else self._kinds.get(name)
            if kind is not None:
                found[kind] += guest.host_pids()
        return found


def disk_bytes(folder: Path) -> int:
    """The space that the files in a folder take."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
