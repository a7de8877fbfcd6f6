"""What it takes a guest, as its user sees it, when a program enters its kernel: by a system call, by a page fault.

Calls: dd reads and writes single bytes of devices that have no contents.  Faults: a shell has empty children, which
take what copying and ending a process takes, and the faults of its pages.  That time is told per fault of a User-mode
Linux guest, since it is there that virtual time meets them; other kernels map more pages at a fault.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from hostemu.base.deadline import Deadline
from hostemu.guests import backend as find_backend
from hostemu.guests.api import Backend, Guest
from hostemu.measure.bench import Bench, Once, Sample
from hostemu.measure.definition import KernelEntries

CALLS_PER_BYTE = 2
FEW_BYTES = 1000
FEW_CHILDREN = 10
"""Of what the same takes that is not counted: a program's start and end."""

COUNTED_ON = "uml"
_MINOR, _MINOR_OF_CHILDREN = 9, 10
"""Faults in /proc/PID/stat, proc(5), from 0."""

CHILDREN = """
read before < /proc/self/stat
i=0
while [ $i -lt {count} ]; do (:); i=$((i + 1)); done
read after < /proc/self/stat
echo $before; echo $after
"""
"""A shell's script: so many empty children, and its /proc/PID/stat before and after."""


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """One guest for all repeats, and another one whose faults are counted."""
    settings = bench.settings_of(KernelEntries)
    with ExitStack() as stack:
        guest = stack.enter_context(_started(bench, "guest", bench.backend))
        counted = guest
        if bench.backend.name != COUNTED_ON:
            counted = stack.enter_context(_started(bench, "counted", find_backend(COUNTED_ON)))
        yield lambda: _measure(guest, counted, settings, bench.patience("a kernel's entries"))


@contextmanager
def _started(bench: Bench, name: str, backend: Backend) -> Iterator[Guest]:
    spec = bench.spec(name, bench.settings_of(KernelEntries).memory_bytes)
    with backend.create(spec, bench.folder / name) as guest:
        bench.start(guest)
        yield guest


def _measure(guest: Guest, counted: Guest, settings: KernelEntries, deadline: Deadline) -> Sample:
    few, many = (FEW_BYTES + calls // CALLS_PER_BYTE for calls in (0, settings.calls))
    call_s = (_copy_s(guest, many, deadline) - _copy_s(guest, few, deadline)) / (CALLS_PER_BYTE * (many - few))
    few, many = FEW_CHILDREN, FEW_CHILDREN + settings.children
    child_s = (_children(guest, many, deadline)[0] - _children(guest, few, deadline)[0]) / (many - few)
    faults = (_children(counted, many, deadline)[1] - _children(counted, few, deadline)[1]) / (many - few)
    found = {"guest_call_ns": call_s * 1e9, "guest_fault_ns": child_s * 1e9 / faults}
    return Sample(found, {"child_s": child_s, "faults_of_child": faults})


def _copy_s(guest: Guest, count: int, deadline: Deadline) -> float:
    began_s = time.monotonic()
    guest.run(["busybox", "dd", "if=/dev/zero", "of=/dev/null", "bs=1", f"count={count}"], deadline=deadline)
    return time.monotonic() - began_s


def _children(guest: Guest, count: int, deadline: Deadline) -> tuple[float, int]:
    """How long a shell takes that has so many children, one after the other, and their faults and its own."""
    began_s = time.monotonic()
    said = guest.run(["busybox", "sh", "-c", CHILDREN.format(count=count)], deadline=deadline).stdout
    took_s = time.monotonic() - began_s
    before, after = (faults_in(line) for line in said.decode().splitlines())
    return took_s, after - before


def faults_in(stat: str) -> int:
    """The minor faults of a process and its children that have ended, from its /proc/PID/stat."""
    fields = stat.rpartition(")")[2].split()
    beyond = 2  # of its fields, number and name are in front
    return int(fields[_MINOR - beyond]) + int(fields[_MINOR_OF_CHILDREN - beyond])
