"""How much time is left, from guesses that are corrected by what was seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic


@dataclass
class TimeLeft:
    """expected_s: kind and guessed time of all that is to be done, in order; corrected by how long its kind took."""

    expected_s: list[tuple[str, float]]
    clock: Callable[[], float] = monotonic
    _guessed_s: dict[str, float] = field(default_factory=dict)
    _taken_s: dict[str, float] = field(default_factory=dict)
    _done: int = 0
    _began_s: float = 0.0

    def begin(self) -> None:
        """The next piece begins."""
        self._began_s = self.clock()

    def end(self) -> None:
        """It has ended."""
        kind, guess_s = self.expected_s[self._done]
        self._guessed_s[kind] = self._guessed_s.get(kind, 0.0) + guess_s
        self._taken_s[kind] = self._taken_s.get(kind, 0.0) + self.clock() - self._began_s
        self._done += 1

    def seconds(self) -> float:
        """What is left, as far as one can tell, the piece that has begun in full."""
        return sum(guess_s * self._factor(kind) for kind, guess_s in self.expected_s[self._done :])

    def _factor(self, kind: str) -> float:
        if kind in self._guessed_s:
            return self._taken_s[kind] / self._guessed_s[kind]
        guessed_s, taken_s = sum(self._guessed_s.values()), sum(self._taken_s.values())
        return taken_s / guessed_s if guessed_s else 1.0


def spoken(seconds: float) -> str:
    """A time as people say it: "40 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
