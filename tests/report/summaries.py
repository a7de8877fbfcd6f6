"""Summaries of campaigns, made up, for tests of tables."""

from __future__ import annotations

from typing import Any

from hostemu.measure.journal import Content, Measurement
from hostemu.measure.plan import Cell
from hostemu.measure.summary import summarise
from tests.measure.builders import HOST

GOOD = {"usable": True, "reason": "", "fix": "", "identity": {}, "wirings": ["direct", "gine"], "farm": True}
NO_KVM = {**GOOD, "usable": False, "reason": "/dev/kvm cannot run a guest"}
DEFINITION = {
    "schema": 1,
    "name": "made-up",
    "backends": ["host", "netns", "uml", "kvm"],
    "iperf": {"repeats": 3, "timeout": "60 s", "memory": "128 MiB", "clients": 100, "duration": "30 s"},
    "tbench": {
        "repeats": 3,
        "timeout": "60 s",
        "memory": "256 MiB",
        "clients": 100,
        "duration": "30 s",
        "client_lines": 20000,
    },
    "memory": {"repeats": 3, "timeout": "60 s", "memory": ["16 MiB", "32 MiB", "64 MiB", "128 MiB"]},
    "guests": {"repeats": 1, "timeout": "10 min", "memory": "32 MiB", "budgets": ["2 GiB"], "shares": [0.5]},
    "ease": {"repeats": 1, "timeout": "60 s", "memory": "32 MiB"},
    "boot": {"repeats": 3, "timeout": "60 s", "memory": "32 MiB"},
    "terminals": {"repeats": 1, "timeout": "60 s", "memory": "32 MiB"},
}
TOOLS = {"iperf": "a", "tbench": "b", "tbench_srv": "c", "client.txt": "d"}

Values = tuple[str, str, dict[str, Any], dict[str, float]]
MEASURED: tuple[Values, ...] = (
    ("iperf", "host", {"wiring": "loopback"}, {"iperf_bps": 20e9}),
    ("iperf", "netns", {"wiring": "direct"}, {"iperf_bps": 10e9}),
    ("iperf", "netns", {"wiring": "gine"}, {"iperf_bps": 8e9}),
    ("iperf", "uml", {"wiring": "direct"}, {"iperf_bps": 752.848e6}),
    ("iperf", "uml", {"wiring": "gine"}, {"iperf3_bps": 500e6}),
    ("tbench", "uml", {"wiring": "direct"}, {"tbench_bps": 470.8466e6}),
    ("memory", "netns", {"memory": "32 MiB"}, {"memory_marginal_bytes": 1 << 20}),
    ("memory", "uml", {"memory": "32 MiB"}, {"memory_bytes": 7.15 * (1 << 20), "memory_marginal_bytes": 8 << 20}),
    ("guests", "uml", {"budget": "2 GiB"}, {"guests": 245, "guest_bytes": 8 << 20}),
    ("guests", "uml", {"share": 0.5}, {"guests": 1500, "guest_bytes": 8 << 20}),
    ("ease", "uml", {}, {"steps": 30, "screens": 0}),
    ("boot", "uml", {}, {"boot_s": 0.25}),
    ("terminals", "uml", {"power": "cycle"}, {"terminals": 5275}),
)
ENDED_BY = {"budget": "the budget of 2 GiB", "share": "the campaign's limit of 1500 guests"}


def made_up(*extra: Values, **definition: dict[str, Any]) -> dict[str, Any]:
    """A summary of round figures: UML does twice what the thesis' did.  definition: figures that differ."""
    defined = DEFINITION | definition
    measurements = []
    for figure, backend, parameters, values in (*MEASURED, *extra):
        reasons = [ENDED_BY[name] for name in parameters if name in ENDED_BY]
        raw = {"ended_by": reasons[0]} if reasons else {}
        cell = Cell(figure, backend, tuple(parameters.items()))
        measurements += [
            Measurement(cell, repeat, f"2026-01-0{repeat}", 1.0, values, raw)
            for repeat in range(1, defined[figure]["repeats"] + 1)  # type: ignore[index]
        ]
    said = {"host": {**GOOD, "wirings": ["loopback"]}, "netns": GOOD, "uml": GOOD, "kvm": NO_KVM}
    session = {"host": HOST, "tools": TOOLS, "backends": said}
    return summarise(Content(defined, "2026-01-01T00:00:00+00:00", [session], measurements))
