"""Counts instead of rows: what became of terminals, and when, for fleets of which not every terminal is kept.

Times are counted in classes as HdrHistogram has them: 2**CLASS_BITS classes between a power of two and the next, so
that a class is at most 2**−CLASS_BITS of its values wide, and any quantile is known to that share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hostemu.records.model import TALLY, TIMES, Table

CLASS_BITS = 10
CLASSES = (64 - CLASS_BITS) << CLASS_BITS

Counts = npt.NDArray[np.int64]


def class_bounds(number: int) -> tuple[int, int]:
    """(least time, least time of the next class).

    A time below 2**(CLASS_BITS + 1) is its own class; above, class (n << CLASS_BITS) + (time >> n) holds it, where n
    is how far it must be shifted to have CLASS_BITS + 1 bits.
    """
    shift = max(0, (number >> CLASS_BITS) - 1)
    low = number - (shift << CLASS_BITS)
    return low << shift, (low + 1) << shift


def times_of(counts: Counts) -> Table:
    """The table of times from counts by class."""
    rows = [(*class_bounds(int(number)), int(counts[number])) for number in np.flatnonzero(counts)]
    return np.array(rows, TIMES)


def class_quantiles(times: Table, shares: Sequence[float]) -> npt.NDArray[np.float64]:
    """Quantiles of what a table of times counts: the middle of the class in which they lie."""
    upto = np.cumsum(times["count"])
    places = np.searchsorted(upto, np.ceil(np.asarray(shares) * upto[-1]).clip(1))
    return np.asarray((times["from_ns"][places] + times["below_ns"][places] - 1) / 2, np.float64)


def tally_of(terminals: Table) -> Table:
    """The tally of a table of terminals."""
    kinds = terminals["outcome"].astype(np.uint16) << 8 | terminals["reason"]
    rows: list[tuple[Any, ...]] = []
    for kind in np.flatnonzero(np.bincount(kinds)):
        attempts = terminals["attempts"][kinds == kind]
        rows.append((kind >> 8, kind & 255, len(attempts), int(attempts.sum(dtype=np.int64)), int(attempts.max())))
    return np.array(rows, TALLY)
