"""A ramp: starts guests until a memory budget is used, or something else ends it.  Pure: a crew starts them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from hostemu.base.deadline import Deadline
from hostemu.base.units import parse_size_bytes
from hostemu.measure.bench import CAMPAIGN_LIMITS

RECOUNT_GROWTH = 1.25
"""All guests are counted anew when there are so many times as many as at the last count."""

UNSAFE = "the share of the machine's memory that is safe to use"


class Crew(Protocol):
    """The guests that a ramp starts."""

    def start(self, count: int) -> str:
        """Start so many more guests together; why not all of them run, empty when they do."""

    def running(self) -> int:
        """How many run."""

    def used_bytes(self) -> int:
        """What they use, as far as it is known: the last to start were counted alone."""

    def recount(self) -> None:
        """Count all of them anew: they grow, and what they share is divided among more of them."""

    def available_bytes(self) -> int:
        """What the machine could still give."""


@dataclass(frozen=True)
class Budget:
    """limit: bytes that guests may use.  floor: bytes that must stay available on the machine.  name: for people."""

    limit_bytes: int
    floor_bytes: int
    name: str

    @staticmethod
    def of(parameters: dict[str, str | float], available: int, safe_share: float) -> Budget:
        """The budget of a cell on a machine with so many bytes available."""
        floor = round(available * (1 - safe_share))
        if "budget" in parameters:
            text = str(parameters["budget"])
            return Budget(parse_size_bytes(text), floor, f"the budget of {text}")
        share = float(parameters["share"])
        return Budget(round(available * share), floor, f"{100 * share:g} % of the machine's available memory")


@dataclass
class Ramp:
    """at_a_time, at_most: guests.  note: told after every step.  ended_by: why no further guests were started."""

    crew: Crew
    budget: Budget
    at_a_time: int
    at_most: int
    note: Callable[[str], None] = field(default=lambda _text: None)
    ended_by: str = ""
    _recounted_at: int = 0

    def climb(self, deadline: Deadline) -> None:
        """Start guests until it ends, the first one alone: nobody knows yet how large they are."""
        while not self.ended_by:
            number = self._room(deadline)
            if number:
                self.ended_by = self.crew.start(number)
                self.note(f"{self.crew.running()} guests, {self.crew.used_bytes() / 2**20:.0f} MiB")

    def _room(self, deadline: Deadline) -> int:
        """How many guests to start next; 0 when this is the end, the reason of which is noted."""
        running = self.crew.running()
        if running >= self.at_most:
            self.ended_by = f"{CAMPAIGN_LIMITS[0]} of {self.at_most} guests"
        elif not deadline.left_s():
            self.ended_by = CAMPAIGN_LIMITS[1]
        elif running:
            return self._fitting(running)
        return 0 if self.ended_by else 1

    def _fitting(self, running: int) -> int:
        """As many more as fit, judged by the mean of those that run, but not too many at a time."""
        if running >= self._recounted_at * RECOUNT_GROWTH or self._left() < 1:
            self.crew.recount()
            self._recounted_at = running
        fitting = int(min(self._left(), self.at_a_time, self.at_most - running))
        if fitting < 1:
            self.ended_by = self.budget.name
        elif self.crew.available_bytes() - fitting * self._each() < self.budget.floor_bytes:
            self.ended_by = UNSAFE
            return 0
        return max(0, fitting)

    def _each(self) -> float:
        return max(1.0, self.crew.used_bytes() / max(1, self.crew.running()))

    def _left(self) -> float:
        """How many more guests fit into the budget."""
        return (self.budget.limit_bytes - self.crew.used_bytes()) / self._each()
