"""Real runs on machines that are disturbed: tried again; a test is skipped only when the hypervisor is to blame.

Runs that are invalid three times, while the machine had its cores to itself, are a fault of this program.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import pytest

from hostemu.measure.host import LoadMonitor

Played = TypeVar("Played")

TRIES = 3
STOLEN = 0.01
"""Share of the cores' time that, taken by the hypervisor, may make a run invalid, whatever reason the run names."""


def undisturbed(play: Callable[[], Played], reasons: Callable[[Played], Sequence[str]]) -> Played:
    """The first of TRIES that is valid.  reasons: why one is not; none when it is."""
    said: list[str] = []
    with LoadMonitor() as monitor:
        for _ in range(TRIES):
            played = play()
            found = list(reasons(played))
            if not found:
                return played
            said += found
    what = f"{TRIES} runs were invalid: {'; '.join(dict.fromkeys(said))}"
    stolen = float(monitor.summary()["steal_fraction"])
    if stolen > STOLEN:
        pytest.skip(f"the hypervisor took {stolen:.1%} of the time: {what}")
    pytest.fail(what)
