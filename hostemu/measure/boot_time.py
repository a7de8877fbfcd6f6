"""From the start of a guest until it answers."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hostemu.measure.bench import Bench, Once, Sample, guest_nic
from hostemu.measure.definition import Boot


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """A new guest for every repeat."""
    yield lambda: _measure(bench, bench.settings_of(Boot))


def _measure(bench: Bench, settings: Boot) -> Sample:
    spec = bench.spec("guest", settings.memory_bytes, (guest_nic(),))
    with bench.backend.create(spec, bench.folder / spec.name) as guest:
        began_s = time.monotonic()
        bench.start(guest)
        ready_s = time.monotonic()
    return Sample({"boot_s": ready_s - began_s}, {"stop_s": time.monotonic() - ready_s})
