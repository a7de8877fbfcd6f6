"""A terminal's power cycle: on for a fixed time, off for a random one (thesis section 5.2)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hostemu.base.streams import Stream


class Phase(Enum):
    """Where in its cycle a terminal is when the run starts."""

    RANDOM = "random"
    ON = "on"
    OFF = "off"


@dataclass(frozen=True)
class PowerSettings:
    """on_ns: time awake.  off_min_ns, off_max_ns: bounds of the uniform off time.

    redraw: the off time is drawn anew in every cycle, else once per terminal.
    """

    on_ns: int
    off_min_ns: int
    off_max_ns: int
    redraw: bool
    phase: Phase


class PowerCycle:
    """The power state of terminal `index` over time; time 0 is the start of the run.

    Ask in order of time: `advance(now_ns)`, then read `is_on` and `next_change_ns`.
    """

    def __init__(self, settings: PowerSettings, seed: int, index: int) -> None:
        self._settings = settings
        self._cycle = 0
        self._index = index
        self._off = Stream.named(seed, "power", "off", index) if settings.redraw else _off_stream(seed)
        off_ns = self._off_ns()
        self.is_on, self.next_change_ns = self._start(seed, off_ns)

    def advance(self, now_ns: int) -> bool:
        """Go on to `now_ns`; returns whether the terminal is on then."""
        while self.next_change_ns <= now_ns:
            if self.is_on:
                self._cycle += 1
                self.next_change_ns += self._off_ns()
            else:
                self.next_change_ns += self._settings.on_ns
            self.is_on = not self.is_on
        return self.is_on

    def _off_ns(self) -> int:
        counter = self._cycle if self._settings.redraw else self._index
        return self._off.between(counter, self._settings.off_min_ns, self._settings.off_max_ns)

    def _start(self, seed: int, off_ns: int) -> tuple[bool, int]:
        """A cycle is off_ns of sleep, then on_ns awake; returns the first state and when it ends."""
        on_ns = self._settings.on_ns
        match self._settings.phase:
            case Phase.ON:
                return True, on_ns
            case Phase.OFF:
                return False, off_ns
            case Phase.RANDOM:
                into_ns = int(_phase_stream(seed).uniform(self._index) * (off_ns + on_ns))
                return (False, off_ns - into_ns) if into_ns < off_ns else (True, off_ns + on_ns - into_ns)


def _off_stream(seed: int) -> Stream:
    return Stream.named(seed, "power", "off")


def _phase_stream(seed: int) -> Stream:
    return Stream.named(seed, "power", "phase")
