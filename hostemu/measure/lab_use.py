"""CPU time and memory of everything in the lab, by part.  Called inside the lab, with nothing but /proc.

CPU time is that of the lab's processes by their own clocks (ns, threads included; clock_getcpuclockid(3)), and of
those that have ended, by what their parents were told (clock ticks, 10 ms; proc_pid_stat(5)).  What the kernel does
for a process in its system calls is in it, and so are frames on their way through its network stack, which the
sender's call carries; kernel threads and interrupts are not: `machine` has them, and whatever else the machine did.
Memory is what processes take, shared pages once (`memory_count`), and what the kernel has allocated for itself since
the beginning: network namespaces, interfaces, sockets.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from hostemu.guests.processes import TICKS_PER_S, descendants, number_here
from hostemu.measure.host import read_sample
from hostemu.measure.memory_count import PROC, Counter, available_bytes, kernel_bytes

RUNNER = "runner"
"""The part that is in no other: process 1 of the lab, hostemu with its emulator, and what the lab has besides."""

KERNEL = "kernel"
"""Beside the parts: the kernel's own memory."""

_PROCESS_CLOCK = 2
"""Of a process, by the scheduler: CPUCLOCK_SCHED, linux/posix-timers.h."""

Parts = dict[str, float]


class LabUse:
    """What the lab uses; made before anything is started, it knows what there was before.  proc: for tests."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._kernel_bytes = kernel_bytes(proc)
        self._available_bytes = available_bytes(proc)
        self._machine_s = machine_cpu_s(proc)

    def cpu_s(self, parts: Mapping[str, Iterable[int]]) -> Parts:
        """CPU time so far, by part.  parts: their processes' numbers in /proc; all others are RUNNER's."""
        own = {name: set(pids) for name, pids in parts.items()}
        used = dict.fromkeys([*own, RUNNER], 0.0)
        for pid in lab_pids(self._proc):
            name = next((name for name, pids in own.items() if pid in pids), RUNNER)
            used[name] += process_cpu_s(pid, self._proc)
        return used

    def memory_bytes(self, parts: Mapping[str, Iterable[int]]) -> Parts:
        """Memory now, by part, and the kernel's as KERNEL; that is less than nothing where others gave more back."""
        own = {name: list(pids) for name, pids in parts.items()}
        taken = {pid for pids in own.values() for pid in pids}
        own[RUNNER] = [pid for pid in lab_pids(self._proc) if pid not in taken]
        counter = Counter(self._proc)
        found: Parts = {name: float(counter.add(pids).total) for name, pids in own.items()}
        found[KERNEL] = float(kernel_bytes(self._proc) - self._kernel_bytes)
        return found

    def processes(self) -> int:
        """How many processes the lab has."""
        return sum(1 for _ in lab_pids(self._proc))

    def machine(self) -> dict[str, float]:
        """What the whole machine has used since the beginning: core-seconds, and memory that is not available now."""
        return {
            "cpu_s": machine_cpu_s(self._proc) - self._machine_s,
            "memory_bytes": float(self._available_bytes - available_bytes(self._proc)),
        }


def lab_pids(proc: Path = PROC) -> Iterator[int]:
    """Process 1 of the lab and all below it, by their numbers in /proc."""
    for line in (proc / "self/status").read_text().splitlines():
        if line.startswith("PPid:"):
            first = int(line.split()[1])
            yield first
            yield from descendants(first)


def process_cpu_s(pid: int, proc: Path = PROC) -> float:
    """A process' CPU time, and that of its children which have ended; 0 of one that is gone."""
    with suppress(OSError):
        fields = (proc / str(pid) / "stat").read_text().rpartition(")")[2].split()
        own_ns = time.clock_gettime_ns((~number_here(pid) << 3) | _PROCESS_CLOCK)
        return own_ns / 1e9 + sum(map(int, fields[13:15])) / TICKS_PER_S
    return 0.0


def machine_cpu_s(proc: Path = PROC) -> float:
    """What the cores that this process may use were busy for since boot."""
    sample = read_sample(proc, frozenset(os.sched_getaffinity(0)))
    return sum(ticks.busy for ticks in sample.cores.values()) / TICKS_PER_S
