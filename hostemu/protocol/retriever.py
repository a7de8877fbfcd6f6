"""Which terminal of an ISP server's list is contacted when: concurrency and retries.

Terminals are indexes 0 … total−1.  A slot is a permission to be in contact with one terminal.
"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass

from hostemu.protocol.reasons import Outcome, Reason

PERMANENT = frozenset({Reason.WRONG_KEY, Reason.UNKNOWN_DEVICE})
"""Reasons that another attempt cannot mend."""

NO_CONTACT = frozenset({Reason.REFUSED, Reason.SILENT, Reason.UNREACHABLE})
"""Reasons for which there was no exchange that could have failed."""


@dataclass(frozen=True)
class RetryPolicy:
    """interval_ns: from the end of a failed attempt to the next one.

    max_attempts: attempts before the terminal counts as failed.
    keeps_slot: a terminal that waits for its next attempt keeps its slot; otherwise it queues again, at the end.
    partitioned: each slot has its own part of the list, every so-manieth terminal of it, as threads that divide the
        list among them would; otherwise a free slot takes the list's next terminal.  Needs keeps_slot.
    after_contact: an attempt that fails when the terminal has answered is repeated, too; otherwise it is the last.
    """

    interval_ns: int
    max_attempts: int
    keeps_slot: bool
    partitioned: bool = False
    after_contact: bool = True

    def is_final(self, reason: Reason, attempts: int) -> bool:
        """Whether the terminal has failed for good once so many attempts have failed, the last for this reason."""
        in_vain = reason in PERMANENT or not (self.after_contact or reason in NO_CONTACT)
        return in_vain or attempts >= self.max_attempts


class Retriever:
    """The schedule of one list.  Methods that may free or fill slots return the indexes to attempt now.

    outcome, reason, attempts: one entry per terminal; reason is that of the last failed attempt,
    NONE once the terminal was retrieved.
    """

    def __init__(self, total: int, concurrency: int, retry: RetryPolicy) -> None:
        self.outcome = [Outcome.PENDING] * total
        self.reason = [Reason.NONE] * total
        self.attempts = [0] * total
        self.left = total
        self._retry = retry
        self._free_slots = concurrency
        self._stride = concurrency if retry.partitioned else total
        self._fresh = deque(range(min(self._stride, total)))
        self._waiting: list[tuple[int, int, int]] = []  # (due, order, index), a heap
        self._order = 0

    @property
    def next_wake_ns(self) -> int | None:
        """When `wake` has something to start; None when only an answer can bring the list on."""
        if not self._waiting or (not self._retry.keeps_slot and not self._free_slots):
            return None
        return self._waiting[0][0]

    def wake(self, now_ns: int) -> list[int]:
        """Start what is due, as far as slots are free.

        With keeps_slot, terminals whose pause is over go first: they have their slot already.  Without it new
        terminals go first, since the others have queued again behind them.
        """
        started: list[int] = []
        if self._retry.keeps_slot:
            self._start_waiting(now_ns, started)
            self._start_fresh(started)
        else:
            self._start_fresh(started)
            self._start_waiting(now_ns, started)
        return started

    def _start_fresh(self, started: list[int]) -> None:
        while self._fresh and self._take_slot():
            started.append(self._attempt(self._fresh.popleft()))

    def _start_waiting(self, now_ns: int, started: list[int]) -> None:
        while self._waiting and self._waiting[0][0] <= now_ns:
            if not self._retry.keeps_slot and not self._take_slot():
                return
            started.append(self._attempt(heapq.heappop(self._waiting)[2]))

    def succeeded(self, index: int, now_ns: int) -> list[int]:
        """The terminal's information is here."""
        self._finish(index, Outcome.RETRIEVED, Reason.NONE)
        return self.wake(now_ns)

    def failed(self, index: int, reason: Reason, now_ns: int) -> list[int]:
        """An attempt failed; `outcome[index]` then tells whether it was the last one."""
        if self._retry.is_final(reason, self.attempts[index]):
            self._finish(index, Outcome.FAILED, reason)
            return self.wake(now_ns)
        self.reason[index] = reason
        self._order += 1
        heapq.heappush(self._waiting, (now_ns + self._retry.interval_ns, self._order, index))
        if not self._retry.keeps_slot:
            self._free_slots += 1
        return self.wake(now_ns)

    def _take_slot(self) -> bool:
        if not self._free_slots:
            return False
        self._free_slots -= 1
        return True

    def _attempt(self, index: int) -> int:
        self.attempts[index] += 1
        return index

    def _finish(self, index: int, outcome: Outcome, reason: Reason) -> None:
        self.outcome[index] = outcome
        self.reason[index] = reason
        self.left -= 1
        self._free_slots += 1
        if index + self._stride < len(self.outcome):
            self._fresh.append(index + self._stride)
