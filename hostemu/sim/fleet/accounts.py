"""The center's books, compiled: what an ISP server reported, when it came, and what it adds up to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from hostemu.lines.compiling import compiled
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.records import CLASS_BITS, CLASSES, PROGRESS, TALLY, times_of
from hostemu.scenario import Scenario
from hostemu.scenario.derive import FIRST_DEVICE_ID
from hostemu.sim.center import PROGRESS_INTERVAL_NS
from hostemu.sim.fleet.codes import DEADLINE, FAILED, RETRIEVED
from hostemu.sim.fleet.terminal import Counts, Table

KINDS = max(Outcome) + 1
REASONS = max(Reason) + 1
INTERVALS = 100_000
"""The most moments of progress that are kept."""


class Delays(NamedTuple):
    """given_ns: when commands are given.  report_ns: from ISP server to center.

    interval_ns: between moments of progress.
    """

    given_ns: int
    report_ns: int
    deadline_ns: int
    interval_ns: int


def delays_of(scenario: Scenario, given_ns: int) -> Delays:
    """The delays of a scenario."""
    deadline_ns = scenario.retrieval.deadline_ns
    report_ns = scenario.lines.isp.up.delay_ns + scenario.lines.center.down.delay_ns
    return Delays(given_ns, report_ns, deadline_ns, max(PROGRESS_INTERVAL_NS, -(-deadline_ns // INTERVALS)))


class Books:
    """Sums over terminals; those of several threads are added.

    tally: terminals, attempts and most attempts, by outcome and reason.  classes: times to retrieve, by class.
    progress: retrieved and failed, by interval.  last_ns: when the last report came.
    """

    def __init__(self, delays: Delays) -> None:
        self.delays = delays
        self.tally = np.zeros((KINDS, REASONS, 3), np.int64)
        self.classes = np.zeros(CLASSES, np.int64)
        self.progress = np.zeros((delays.deadline_ns // delays.interval_ns + 1, 2), np.int64)
        self.last_ns = 0

    def enter(self, table: Table, first: int) -> None:
        """Account for terminals from index `first` on; their rows become what the center knows."""
        last_ns = _enter(self.delays, first, table, self.tally, self.classes, self.progress)
        self.last_ns = max(self.last_ns, last_ns)

    def add(self, other: Books) -> None:
        """Take another's sums in."""
        self.tally[:, :, :2] += other.tally[:, :, :2]
        np.maximum(self.tally[:, :, 2], other.tally[:, :, 2], out=self.tally[:, :, 2])
        self.classes += other.classes
        self.progress += other.progress
        self.last_ns = max(self.last_ns, other.last_ns)

    def tally_table(self) -> Table:
        """The tally, a row for each outcome and reason."""
        kinds = np.argwhere(self.tally[:, :, 0])
        return np.array([(*kind, *self.tally[tuple(kind)]) for kind in kinds], TALLY)

    def times_table(self) -> Table:
        """Times to retrieve, by class."""
        return times_of(self.classes)

    def progress_table(self) -> Table:
        """What the center knew at the end of every interval in which something happened."""
        sums = np.cumsum(self.progress, axis=0)
        busy = np.flatnonzero(self.progress.any(axis=1))
        return np.array([((k + 1) * self.delays.interval_ns, *sums[k]) for k in busy], PROGRESS)


@compiled
def class_of(value_ns: int) -> int:
    """The class of a time: see hostemu.records.tally."""
    shift = 0
    while value_ns >> shift >= 2 << CLASS_BITS:
        shift += 1
    return (shift << CLASS_BITS) + (value_ns >> shift)


@compiled
def _enter(delays: Delays, first: int, table: Table, tally: Counts, classes: Counts, progress: Counts) -> int:
    last_ns = 0
    for place in range(len(table)):
        row = table[place]
        reported_ns = row.retrieved_at_ns + delays.report_ns
        row.device_id = first + place + FIRST_DEVICE_ID
        row.retrieved_at_ns = -1
        if reported_ns >= delays.deadline_ns:
            reported_ns = delays.deadline_ns
            row.outcome, row.reason, row.attempts, row.exchange_ns = FAILED, DEADLINE, 0, 0
        elif row.outcome == RETRIEVED:
            row.retrieved_at_ns = reported_ns - delays.given_ns
            classes[class_of(row.retrieved_at_ns)] += 1
        sums = tally[row.outcome, row.reason]
        sums[0] += 1
        sums[1] += row.attempts
        sums[2] = max(sums[2], row.attempts)
        progress[reported_ns // delays.interval_ns, int(row.outcome != RETRIEVED)] += 1
        last_ns = max(last_ns, reported_ns)
    return last_ns
