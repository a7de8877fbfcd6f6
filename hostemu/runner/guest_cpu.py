"""What CPU time of this machine each guest uses during a run, beyond what it uses while it does nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from hostemu.guests.api import Guest


@dataclass(frozen=True)
class GuestCpu:
    """cpu_s: used in elapsed_s.  idle: share of a core that it takes while it does nothing.

    Read in the kernel's clock ticks, 10 ms each as a rule.
    """

    cpu_s: float
    elapsed_s: float
    idle: float

    @property
    def busy_ns(self) -> float:
        """CPU time beyond that of an idle guest; less than nothing where ticks say so."""
        return (self.cpu_s - self.idle * self.elapsed_s) * 1e9


@dataclass(frozen=True)
class _Reading:
    at_s: float
    cpu_s: Mapping[str, float]

    @staticmethod
    def of(guests: Mapping[str, Guest]) -> _Reading:
        return _Reading(time.monotonic(), {name: guest.usage().cpu_s for name, guest in guests.items()})


class GuestMeter:
    """Watches guests that do nothing, until they are `settled`; from then on counts what they use."""

    def __init__(self, guests: Mapping[str, Guest]) -> None:
        self._guests = guests
        self._start = _Reading.of(guests)
        self._idle = dict.fromkeys(guests, 0.0)

    def settled(self) -> None:
        """Until now they did nothing."""
        before, self._start = self._start, _Reading.of(self._guests)
        elapsed_s = self._start.at_s - before.at_s
        self._idle = {name: (cpu_s - before.cpu_s[name]) / elapsed_s for name, cpu_s in self._start.cpu_s.items()}

    def used(self) -> dict[str, GuestCpu]:
        """What every guest has used until now."""
        now = _Reading.of(self._guests)
        elapsed_s = now.at_s - self._start.at_s
        return {
            name: GuestCpu(cpu_s - self._start.cpu_s[name], elapsed_s, self._idle[name])
            for name, cpu_s in now.cpu_s.items()
        }
