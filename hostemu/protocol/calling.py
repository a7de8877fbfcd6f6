"""Who calls when, where terminals call: a terminal's schedule, and an ISP server's account of its list."""

from __future__ import annotations

from collections.abc import Collection

from hostemu.protocol.events import Failed, Retrieved
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.retriever import PERMANENT
from hostemu.protocol.wire import Call, Report


class CallSchedule:
    """A terminal's: it calls whenever it wakes up, and `interval_ns` after a call that failed while it is on.

    attempts: calls made.  is_over: it calls no more: delivered, refused for ever, or `max_attempts` calls are made.
    """

    __slots__ = ("_interval_ns", "_max_attempts", "attempts", "is_over")

    def __init__(self, interval_ns: int, max_attempts: int) -> None:
        self.attempts = 0
        self.is_over = False
        self._interval_ns = interval_ns
        self._max_attempts = max_attempts

    def begin(self) -> int:
        """A call is made; its number, from 1."""
        self.attempts += 1
        return self.attempts

    def delivered(self) -> None:
        """The ISP server has the information."""
        self.is_over = True

    def failed(self, reason: Reason, now_ns: int) -> int:
        """A call failed; when the next one is due, unless `is_over`, if the terminal is still on by then."""
        self.is_over = self.is_over or reason in PERMANENT or self.attempts >= self._max_attempts
        return now_ns + self._interval_ns


class CallBook:
    """An ISP server's: which of its terminals are accounted for, and how many calls it serves at a time.

    A terminal that calls again, since it was switched off before its receipt came, is served and not reported again.
    One that never gets through is the center's to account for, at the deadline: its ISP server does not know of it.
    """

    def __init__(self, device_ids: Collection[int], concurrency: int, max_attempts: int) -> None:
        self._pending = set(device_ids)
        self._free_slots = concurrency
        self._max_attempts = max_attempts

    @property
    def left(self) -> int:
        """Terminals that are not accounted for yet."""
        return len(self._pending)

    @property
    def has_room(self) -> bool:
        """Whether one more call may be served."""
        return self._free_slots > 0

    def take(self) -> None:
        """One more call is served."""
        self._free_slots -= 1

    def ended(self, caller: Call | None, event: Retrieved | Failed) -> Report | None:
        """A served call has ended; what to report of its terminal, if that is done with.

        caller: of a terminal that has proved who it is, else None.
        """
        self._free_slots += 1
        if caller is None or caller.device_id not in self._pending or not self._is_last(caller, event):
            return None
        self._pending.remove(caller.device_id)
        numbers = (caller.attempt, event.elapsed_ns)
        if isinstance(event, Retrieved):
            how = (Outcome.RETRIEVED, Reason.NONE)
            return Report(caller.device_id, *how, *numbers, event.isp_nonce, event.sealed)
        return Report(caller.device_id, Outcome.FAILED, event.reason, *numbers, b"", b"")

    def _is_last(self, caller: Call, event: Retrieved | Failed) -> bool:
        """Whether the terminal has no reason to call again."""
        return isinstance(event, Retrieved) or event.reason in PERMANENT or caller.attempt >= self._max_attempts
