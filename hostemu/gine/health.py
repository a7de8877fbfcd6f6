"""What an engine has counted, and how well it kept its times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hostemu.gine.heap import Integers
from hostemu.gine.world import BUCKETS_PER_OCTAVE
from hostemu.lines.spec import LineCounters


@dataclass(frozen=True)
class NamedLineCounters(LineCounters):
    """The counters of one direction ("forward", "backward") of a link."""

    name: str
    direction: str


@dataclass(frozen=True)
class NodeCounters:
    """Packets at a port, switch or router, by what became of them."""

    kind: str
    name: str
    counts: Mapping[str, int]


@dataclass(frozen=True)
class EngineHealth:
    """How the engine did.

    late_…_ns: moment of writing a frame minus the moment it was due, of all frames written (quantiles to 1/16 above).
    packets_read, packets_written: on the wire; frames count super-frames once.
    pool_exhausted: how often a frame could not be read or made for want of a slot.
    packets_discarded: what the engine lost for that reason, after it had read it.
    write_errors: packets that a port refused; down_errors: of an interface that was down or gone.
    cpu_ns: CPU time of the thread; busy: its share of the elapsed time.
    spun_ns: of that, what it spun away until frames were due.
    slots_used: high-water mark of the pool of `slots`.
    """

    late_p50_ns: int
    late_p90_ns: int
    late_p99_ns: int
    late_max_ns: int
    late_over_1ms: int
    frames_read: int
    frames_written: int
    packets_read: int
    packets_written: int
    malformed: int
    pool_exhausted: int
    packets_discarded: int
    write_errors: int
    down_errors: int
    ports_closed: int
    wakeups: int
    cpu_ns: int
    spun_ns: int
    busy: float
    slots: int
    slots_used: int

    @property
    def emulator_drops(self) -> int:
        """Packets that the emulated network did not lose, but the engine did; a run with any is not valid."""
        return self.packets_discarded + self.write_errors


def late_quantile_ns(histogram: Integers, share: float) -> int:
    """The upper edge of the bucket that holds the quantile; 0 without any frame."""
    total = int(histogram.sum())
    if total == 0:
        return 0
    bucket = int(np.searchsorted(np.cumsum(histogram), share * total))
    return bucket_end_ns(bucket)


def bucket_end_ns(bucket: int) -> int:
    """The greatest lateness that lateness_bucket puts into this bucket."""
    shift = max(0, bucket // BUCKETS_PER_OCTAVE - 1)
    return ((bucket - shift * BUCKETS_PER_OCTAVE + 1) << shift) - 1
