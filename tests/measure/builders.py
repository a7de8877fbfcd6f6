"""Small campaigns, sessions and measurements for tests."""

from __future__ import annotations

from typing import Any

from hostemu.measure.definition import Campaign
from hostemu.measure.journal import Measurement
from hostemu.measure.plan import Cell

HOST = {
    "cpu_model": "test CPU",
    "cores": 2,
    "kernel": "6.1",
    "hypervisor": "",
    "hostemu": "0.1.0",
    "root": True,
    "memory_bytes": 24 << 30,
}
IPERF = {
    "repeats": 5,
    "per_guest": 2,
    "warm_up": 1,
    "timeout": "9 s",
    "memory": "128 MiB",
    "clients": 100,
    "duration": "1 s",
}
TRAFFIC = {"repeats": 2, "timeout": "9 s", "memory": "64 MiB", "duration": "1 s"}


def document(**changes: Any) -> dict[str, Any]:
    """The document of a small campaign with a bit of everything; None takes a key away."""
    made = {
        "schema": 1,
        "name": "small",
        "backends": ["host", "netns"],
        "iperf": IPERF,
        "memory": {"repeats": 3, "timeout": "9 s", "memory": ["16 MiB", "32 MiB"]},
        "guests": {"repeats": 1, "timeout": "9 min", "memory": "32 MiB", "budgets": ["2 GiB"], "shares": [0.5]},
        "boot": {"repeats": 4, "timeout": "9 s", "memory": "32 MiB"},
        "costs": {"repeats": 2},
        **changes,
    }
    return {key: value for key, value in made.items() if value is not None}


def campaign(**changes: Any) -> Campaign:
    """That campaign."""
    return Campaign.model_validate(document(**changes))


def session(**changes: Any) -> dict[str, Any]:
    """The facts of a session on one machine with netns guests; changes: of host facts."""
    return {
        "host": {**HOST, **changes},
        "backends": {"netns": {"usable": True, "reason": "fine", "fix": "", "identity": {"kernel": "6.1"}}},
        "tools": {"iperf": "abc"},
    }


def boot(repeat: int, value: float = 0.25, backend: str = "netns", **changes: Any) -> Measurement:
    """A measurement of the time that a guest takes to boot."""
    at = f"2026-01-01T00:00:{repeat:02}.000+00:00"
    return Measurement(Cell("boot", backend), repeat, at, 1.0, {"boot_s": value}, **changes)
