"""What this machine is, and how busy it was during a run."""

from __future__ import annotations

import os
import platform
import threading
from collections.abc import Mapping, Sequence
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
"""A window in which all cores together were busy to this share counts as saturated."""

Fact = str | int | float | bool


def host_facts(root: Path = Path("/")) -> dict[str, Fact]:
    """CPU, memory, kernel and versions, as far as the machine tells them; nothing personal (no host or user name).

    root: where proc and sys are.  Sizes are bytes.
    """
    processor, memory = _fields(root / "proc/cpuinfo"), _fields(root / "proc/meminfo")
    facts: dict[str, Fact] = {
        "cpu_model": processor.get("model name") or platform.machine(),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": _kib(memory.get("MemTotal")),
        "memory_available_bytes": _kib(memory.get("MemAvailable")),
        "swap_bytes": _kib(memory.get("SwapTotal")),
        "kernel": platform.release(),
        "virtual_machine": "hypervisor" in processor.get("flags", "").split(),
        "hypervisor": _hypervisor(root),
        "container": any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")),
        "clock_source": _text(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "python": platform.python_version(),
        "hostemu": hostemu.__version__,
        "root": os.geteuid() == 0,
        **{name: _library(name) for name in LIBRARIES},
    }
    quota = _text(root / "sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0] != "max":
        facts["cpu_quota_cores"] = int(quota[0]) / int(quota[1])
    return facts


def _text(path: Path) -> str:
    """What a file of the kernel says; empty when there is none."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _fields(path: Path) -> dict[str, str]:
    """`name : value` lines of a file of /proc; of a name that is there several times, the first."""
    fields: dict[str, str] = {}
    for line in _text(path).splitlines():
        name, _, value = line.partition(":")
        fields.setdefault(name.strip(), value.strip())
    return fields


def _kib(text: str | None) -> int:
    return 0 if text is None else int(text.removesuffix("kB")) * 1024


def _hypervisor(root: Path) -> str:
    """What the firmware, or Xen, says this machine is."""
    firmware = [_text(root / "sys/class/dmi/id" / name) for name in ("sys_vendor", "product_name")]
    return _text(root / "sys/hypervisor/type") or " ".join(filter(None, firmware))


def _library(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


@dataclass(frozen=True)
class Ticks:
    """A core's time since boot in clock ticks; busy: for this system's own work."""

    busy: int
    idle: int
    steal: int

    def since(self, earlier: Ticks) -> Ticks:
        """The time between two readings; iowait, a part of idle, may run backwards (proc_stat(5))."""
        return Ticks(
            max(0, self.busy - earlier.busy), max(0, self.idle - earlier.idle), max(0, self.steal - earlier.steal)
        )

    @property
    def total(self) -> int:
        """All of it."""
        return self.busy + self.idle + self.steal


@dataclass(frozen=True)
class Sample:
    """Counters since boot: time per core, pages swapped in and out."""

    cores: Mapping[int, Ticks]
    swapped_pages: int


@dataclass(frozen=True)
class Window:
    """Shares of the time between two samples; core_busy: by core."""

    busy: float
    steal: float
    core_busy: Mapping[int, float]

    @staticmethod
    def between(earlier: Sample, later: Sample) -> Window:
        """Of the cores that were there at both moments."""
        both = earlier.cores.keys() & later.cores.keys()
        cores = {core: later.cores[core].since(earlier.cores[core]) for core in sorted(both)}
        total = max(1, sum(ticks.total for ticks in cores.values()))
        return Window(
            busy=sum(ticks.busy for ticks in cores.values()) / total,
            steal=sum(ticks.steal for ticks in cores.values()) / total,
            core_busy={core: ticks.busy / max(1, ticks.total) for core, ticks in cores.items()},
        )


def read_sample(proc: Path, usable: frozenset[int]) -> Sample:
    """The counters of the usable cores as they are now; proc_stat(5) and proc_vmstat(5) tell what they are."""
    cores = {}
    for line in (proc / "stat").read_text().splitlines():
        name, *words = line.split()
        if name[:3] == "cpu" and name[3:].isdigit() and int(name[3:]) in usable:
            user, nice, system, idle, iowait, irq, softirq, steal = map(int, words[:8])
            cores[int(name[3:])] = Ticks(user + nice + system + irq + softirq, idle + iowait, steal)
    counters = dict(line.split() for line in (proc / "vmstat").read_text().splitlines())
    return Sample(cores, int(counters.get("pswpin", 0)) + int(counters.get("pswpout", 0)))


class LoadMonitor:
    """Samples the load of the cores that this process may use, every `window_s` while it is open, in a thread."""

    def __init__(self, window_s: float = WINDOW_S, proc: Path = Path("/proc")) -> None:
        self.samples: list[Sample] = []
        self._window_s = window_s
        self._proc = proc
        self._usable = frozenset(os.sched_getaffinity(0))
        self._end: Sample | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="load monitor", daemon=True)

    def __enter__(self) -> LoadMonitor:
        self.sample()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._end = self._read()

    def sample(self) -> None:
        """End a window now; the thread does it every `window_s`."""
        self.samples.append(self._read())

    def summary(self) -> dict[str, Any]:
        """The load until now, or until the monitor was closed; see `summarise`."""
        return summarise(self.samples, self._end or self._read())

    def _read(self) -> Sample:
        return read_sample(self._proc, self._usable)

    def _run(self) -> None:
        while not self._stop.wait(self._window_s):
            self.sample()


def summarise(samples: Sequence[Sample], end: Sample) -> dict[str, Any]:
    """Shares of the cores' time from the first of `samples`, which part windows, until `end`; pages swapped.

    The time after the last window counts for means and sums, but is no window: it may be too short to be one.
    """
    windows = [Window.between(earlier, later) for earlier, later in pairwise(samples)]
    whole = Window.between(samples[0], end)
    windows = windows or [whole]
    return {
        "windows": len(windows),
        "mean_busy": whole.busy,
        "max_busy": max(window.busy for window in windows),
        "core_busy": [whole.core_busy[core] for core in sorted(whole.core_busy)],
        "saturated_share": sum(window.busy + window.steal >= SATURATED for window in windows) / len(windows),
        "steal_fraction": whole.steal,
        "swapped_pages": end.swapped_pages - samples[0].swapped_pages,
    }
