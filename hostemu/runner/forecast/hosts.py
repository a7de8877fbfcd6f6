"""How many machines like this one a real run of a fleet takes, by memory and by CPU time."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hostemu.fitting import Models, Prediction
from hostemu.runner.forecast.parts import MEMORY, PARTS, Size
from hostemu.runner.forecast.predict import RUN_KINDS, parts_of
from hostemu.sim.sizing import HEADROOM

MEMORY_SHARE = 0.9
"""Of a machine's memory that is planned with; the rest is the system's."""

MOST_HOSTS = 1 << 24


@dataclass(frozen=True)
class Count:
    """So many machines; from low to high: where the models' 95 % intervals end, high None where they have none."""

    value: int
    low: int
    high: int | None


@dataclass(frozen=True)
class Hosts:
    """Machines that emulate the fleet.  by_memory, by_cpu: what each alone would take; None: no number is enough."""

    backend: str
    by_memory: Count | None
    by_cpu: Count | None

    @property
    def needed(self) -> int | None:
        """Machines that suffice for both."""
        both = (self.by_memory, self.by_cpu)
        return None if None in both else max(count.value for count in both if count is not None)

    @property
    def bottleneck(self) -> str:
        """Which of them asks for more."""
        if self.by_memory is None or self.by_cpu is None:
            return "memory" if self.by_memory is None else "CPU"
        return "memory" if self.by_memory.value >= self.by_cpu.value else "CPU"


def hosts_for(size: Size, models: Models, backend: str, facts: dict[str, Any]) -> Hosts:
    """Machines with the memory and cores of `facts`, each with the same share of the fleet, its center and emulator.

    size: of the whole fleet.  Every core is busy for at most HEADROOM of the time.
    """
    memory_bytes = MEMORY_SHARE * facts["memory_bytes"]
    core_s = HEADROOM * facts["cores"] * size.run_s

    def needs(hosts: int, *kinds: str) -> Prediction:
        parts = dict(parts_of(share_of(size, hosts), models, backend))
        return Prediction.total(parts[part.quantity] for part in PARTS if part.kind in kinds)

    return Hosts(
        backend,
        _count(lambda hosts: needs(hosts, MEMORY), memory_bytes),
        _count(lambda hosts: needs(hosts, *RUN_KINDS), core_s),
    )


def share_of(size: Size, hosts: int) -> Size:
    """The largest share of a fleet that is dealt out to so many machines."""
    return Size(
        math.ceil(size.guests / hosts),
        math.ceil(size.terminals / hosts),
        math.ceil(size.programs / hosts),
        size.attempts / hosts,
        size.run_s,
    )


def _count(needs: Callable[[int], Prediction], there_is: float) -> Count | None:
    value = _least(lambda hosts: needs(hosts).value <= there_is)
    low = _least(lambda hosts: needs(hosts).low <= there_is)
    high = _least(lambda hosts: needs(hosts).high <= there_is)
    return None if value is None or low is None else Count(value, low, high)


def _least(is_enough: Callable[[int], bool]) -> int | None:
    """The least number that is enough, where more are not worse; None when MOST_HOSTS are not."""
    if not is_enough(MOST_HOSTS):
        return None
    low, high = 0, MOST_HOSTS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
