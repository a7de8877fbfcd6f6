"""CPU time of guests beyond what they use while they do nothing."""

from __future__ import annotations

import time

import pytest

from hostemu.guests.api import Usage
from hostemu.runner.guest_cpu import GuestCpu, GuestMeter


class Clockwork:
    """A guest that always uses the same share of a core, and more when it is told to."""

    def __init__(self, share: float) -> None:
        self.extra_s = 0.0
        self._share = share

    def usage(self) -> Usage:
        return Usage(self._share * time.monotonic() + self.extra_s, 0, 0, 0, 0, 0)


def test_what_an_idle_guest_uses_is_not_what_a_run_costs() -> None:
    guests = {"lazy": Clockwork(0.0), "restless": Clockwork(0.25)}
    meter = GuestMeter(guests)  # type: ignore[arg-type]
    time.sleep(0.02)
    meter.settled()
    guests["restless"].extra_s += 1.5
    time.sleep(0.05)
    used = meter.used()
    assert used["lazy"] == GuestCpu(0.0, used["lazy"].elapsed_s, 0.0)
    assert used["restless"].idle == pytest.approx(0.25, rel=0.05)
    assert used["restless"].elapsed_s >= 0.05
    assert used["restless"].cpu_s > 1.51
    assert used["restless"].busy_ns == pytest.approx(1.5e9, rel=0.01)
