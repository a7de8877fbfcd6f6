"""What this machine is, and how busy it was during a run."""

from __future__ import annotations

import os
import platform
import threading
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Any

import hostemu

LIBRARIES = ("numpy", "numba", "scipy", "simpy", "h5py")
WINDOW_S = 1.0
SATURATED = 0.97


def _field(path: str, key: str) -> str:
    """The value behind `key :` in a file of /proc; empty when there is none."""
    try:
        for line in Path(path).read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    except OSError:
        pass
    return ""


def _memory_bytes(key: str) -> int:
    text = _field("/proc/meminfo", key).removesuffix("kB").strip()
    return int(text) * 1024 if text else 0


def _library(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def host_facts() -> dict[str, Any]:
    """CPU, memory, kernel and versions; nothing personal (no host or user name)."""
    clock = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
    flags = _field("/proc/cpuinfo", "flags").split()
    return {
        "cpu_model": _field("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": _memory_bytes("MemTotal"),
        "swap_bytes": _memory_bytes("SwapTotal"),
        "kernel": platform.release(),
        "virtual_machine": "hypervisor" in flags,
        "clock_source": clock.read_text().strip() if clock.exists() else "",
        "python": platform.python_version(),
        "hostemu": hostemu.__version__,
        "root": os.geteuid() == 0,
        **{name: _library(name) for name in LIBRARIES},
    }


@dataclass(frozen=True)
class Sample:
    """Counters since boot: clock ticks of all cores together, and pages swapped."""

    busy: int
    idle: int
    steal: int
    swapped_pages: int


def _read_sample() -> Sample:
    """From /proc/stat (proc(5): user nice system idle iowait irq softirq steal …) and /proc/vmstat."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, idle, iowait, irq, softirq, steal = fields
    swapped = 0
    for line in Path("/proc/vmstat").read_text().splitlines():
        name, value = line.split()
        if name in ("pswpin", "pswpout"):
            swapped += int(value)
    return Sample(user + nice + system + irq + softirq, idle + iowait, steal, swapped)


class LoadMonitor:
    """Samples the machine's load once a second while it is open."""

    def __init__(self, window_s: float = WINDOW_S) -> None:
        self.samples: list[Sample] = []
        self._window_s = window_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load monitor", daemon=True)

    def __enter__(self) -> LoadMonitor:
        self.samples.append(_read_sample())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        next_s = time.monotonic() + self._window_s
        while not self._stop.wait(max(0.0, next_s - time.monotonic())):
            self.samples.append(_read_sample())
            next_s += self._window_s

    def summary(self) -> dict[str, Any]:
        """Until now: mean and largest busy share of all cores, share of saturated windows, steal, swap."""
        whole_windows = list(self.samples)
        return summarise(whole_windows if len(whole_windows) > 1 else [*whole_windows, _read_sample()])


def summarise(samples: list[Sample]) -> dict[str, Any]:
    """The load between the samples; at least two."""
    windows = [_shares(earlier, later) for earlier, later in pairwise(samples)]
    first, last = samples[0], samples[-1]
    busy, steal = _shares(first, last)
    return {
        "windows": len(windows),
        "mean_busy": busy,
        "max_busy": max(window[0] for window in windows),
        "saturated_share": sum(window[0] >= SATURATED for window in windows) / len(windows),
        "steal_fraction": steal,
        "swapped_pages": last.swapped_pages - first.swapped_pages,
    }


def _shares(earlier: Sample, later: Sample) -> tuple[float, float]:
    """Busy and stolen share of the cores' time between two samples."""
    busy, idle, steal = later.busy - earlier.busy, later.idle - earlier.idle, later.steal - earlier.steal
    total = max(1, busy + idle + steal)
    return busy / total, steal / total
