"""Waits that end: a deadline on the monotonic clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from hostemu.base.errors import DeadlineExceeded


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock; `what` names, for the error, what is being waited for."""

    at_ns: int
    what: str

    @staticmethod
    def after(seconds: float, what: str) -> Deadline:
        """The deadline `seconds` from now."""
        return Deadline(time.monotonic_ns() + round(seconds * 1e9), what)

    def left_s(self) -> float:
        """Seconds left, never below 0."""
        return max(0.0, (self.at_ns - time.monotonic_ns()) / 1e9)

    def check(self) -> None:
        """Raise DeadlineExceeded once the moment has passed."""
        if time.monotonic_ns() >= self.at_ns:
            raise DeadlineExceeded(f"gave up waiting for {self.what}")

    def wait_until(self, condition: Callable[[], bool], poll_s: float = 0.005) -> None:
        """Poll `condition` until it holds; raise DeadlineExceeded if it does not in time."""
        while not condition():
            self.check()
            time.sleep(min(poll_s, self.left_s() + 1e-4))
