"""Host memory of one guest: of its processes, counted once; and what further guests cost, as a cross-check."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from hostemu.base.units import parse_size_bytes
from hostemu.guests.api import NicSpec
from hostemu.measure.bench import GUEST_ADDRESS, NIC, Bench, Once, Sample
from hostemu.measure.definition import Memory
from hostemu.measure.memory_count import Counter, available_bytes


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """New guests for every repeat."""
    yield lambda: _measure(bench, bench.settings_of(Memory))


def _measure(bench: Bench, settings: Memory) -> Sample:
    with ExitStack() as stack:
        first = available_bytes()
        pids = _started(bench, stack, 0)
        time.sleep(settings.settle_ns / 1e9)
        counted = Counter().add(pids)
        before = available_bytes()
        for number in range(1, settings.marginal_guests + 1):
            _started(bench, stack, number)
        time.sleep(settings.settle_ns / 1e9)
        marginal = (before - available_bytes()) / settings.marginal_guests
    values = {"memory_marginal_bytes": marginal}
    if counted.processes:
        values["memory_bytes"] = float(counted.total)
    return Sample(values, {**asdict(counted), "first_guest_cost_bytes": first - before})


def _started(bench: Bench, stack: ExitStack, number: int) -> list[int]:
    """One more guest with a NIC, running until the stack is closed; its processes on the host."""
    nic = NicSpec(NIC, f"02:00:00:00:01:{number:02x}", addresses=(f"{GUEST_ADDRESS}/24",))
    spec = bench.spec(f"guest-{number}", parse_size_bytes(bench.parameters["memory"]), (nic,))
    guest = stack.enter_context(bench.backend.create(spec, bench.folder / spec.name))
    bench.start(guest)
    return guest.host_pids()
