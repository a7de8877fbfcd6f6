"""Cores that stay awake while something is measured, so that timers are punctual.

A core with nothing to do sleeps, and takes its time to come back, most of all in a virtual machine: there it waits
until the hypervisor has a core for it again (tests/bench/test_awake_bench.py).  A process that holds
/dev/cpu_dma_latency open with a 0 in it has idle cores wait awake (PM QoS, Documentation/power/pm_qos_interface.rst).
They count as idle all the same.  The kernel forgets it when the process ends, however that comes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DEVICE = Path("/dev/cpu_dma_latency")
NO_LATENCY = (0).to_bytes(4, "little")


@contextmanager
def cores_awake(device: Path = DEVICE) -> Iterator[bool]:
    """Keep all cores awake; False where this process may not, or the kernel has no such thing."""
    try:
        held = os.open(device, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        yield False
        return
    try:
        yield os.write(held, NO_LATENCY) == len(NO_LATENCY)
    finally:
        os.close(held)


def why_not(device: Path = DEVICE) -> str:
    """Why this process cannot keep cores awake; empty where it can."""
    if not device.exists():
        return f"this kernel has no {device}"
    return "" if os.access(device, os.W_OK) else f"{device} may not be opened"
