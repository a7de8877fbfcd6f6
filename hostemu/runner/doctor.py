"""What this machine can run, found by trying."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hostemu.base.errors import HostemuError
from hostemu.guests import BACKENDS
from hostemu.lab import call_in_lab, lab_possible


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: `fix` says what to do when it is not `usable`."""

    name: str
    usable: bool
    detail: str
    fix: str = ""

    def as_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        return asdict(self)


def probe_backends(_argument: Any, _emit: Callable[[dict[str, Any]], None]) -> list[dict[str, Any]]:
    """Inside a lab: what each backend says of itself."""
    return [{"name": name, **asdict(backend.probe())} for name, backend in BACKENDS.items() if name != "fake"]


def examine() -> Iterator[Finding]:
    """Everything that a real run needs, one finding at a time."""
    usable, detail, fix = lab_possible()
    yield Finding("lab", usable, detail, fix)
    if usable:
        yield from _backends()
    yield _processes()
    yield _open_files()
    yield _memory()
    yield _program("iperf3", "only some tests and campaigns need it")


def _backends() -> Iterator[Finding]:
    try:
        probes = call_in_lab("hostemu.runner.doctor:probe_backends", None, timeout_s=60)
    except HostemuError as error:
        yield Finding("backends", False, str(error), "mend the lab first")
        return
    for probe in probes:
        yield Finding(f"backend {probe['name']}", probe["usable"], probe["reason"], probe["fix"])


def _processes() -> Finding:
    limit = int(Path("/proc/sys/kernel/pid_max").read_text())
    enough = limit >= 4096
    return Finding("processes", enough, f"pid_max is {limit}", "" if enough else "sysctl -w kernel.pid_max=32768")


def _open_files() -> Finding:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    enough = hard == resource.RLIM_INFINITY or hard >= 4096
    text = "unlimited" if hard == resource.RLIM_INFINITY else str(hard)
    return Finding("open files", enough, f"hard limit is {text}", "" if enough else "raise it: ulimit -Hn 20000")


def _memory() -> Finding:
    available = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    enough = available >= 2 << 30
    fix = "" if enough else "the thesis' scenarios need about 1.5 GiB: choose a smaller fleet"
    return Finding("memory", enough, f"{available / 2**30:.1f} GiB free", fix)


def _program(name: str, why: str) -> Finding:
    path = shutil.which(name)
    return Finding(
        name, path is not None, path or f"not found ({why})", "" if path else f"install the package {name}"
    )
