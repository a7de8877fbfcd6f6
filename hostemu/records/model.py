"""What a run leaves behind, in memory.

Tables are structured numpy arrays, a row per terminal, line direction, host, refusal or moment.
Times are nanoseconds of the run's own clock; with a time scale of 10 they are a tenth of the scenario's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

Table = npt.NDArray[np.void]

TERMINAL = np.dtype(
    [
        ("device_id", "<u8"),
        ("outcome", "u1"),
        ("reason", "u1"),
        ("attempts", "<u4"),
        ("retrieved_at_ns", "<i8"),
        ("exchange_ns", "<i8"),
    ]
)
"""retrieved_at_ns: when the center had the information, since its command; −1: never.

exchange_ns: how long the successful attempt took.
"""

_COUNTED = ("in", "out", "lost", "dropped", "in_flight")
LINE_COUNTERS = np.dtype(
    [
        ("name", "S32"),
        ("direction", "S8"),
        *((f"{unit}_{what}", "<i8") for unit in ("frames", "bytes") for what in _COUNTED),
    ]
)
"""One direction of a line; packets and bytes on the wire: in = out + lost + dropped + in_flight."""

HOST = np.dtype(
    [
        ("name", "S32"),
        ("kind", "S16"),
        ("cpu_s", "<f8"),
        ("rss_bytes", "<i8"),
        ("rx_frames", "<i8"),
        ("tx_frames", "<i8"),
        ("rx_bytes", "<i8"),
        ("tx_bytes", "<i8"),
    ]
)
"""What a guest used: CPU time and memory of its programs, traffic of its NICs as its own kernel counted it."""

REFUSAL = np.dtype([("program", "S32"), ("reason", "u1"), ("count", "<i8")])
"""Messages and peers that a program refused, by reason."""

PROGRESS = np.dtype([("t_ns", "<i8"), ("retrieved", "<i8"), ("failed", "<i8")])
"""How many terminals the center had accounted for at a moment."""

TALLY = np.dtype(
    [
        ("outcome", "u1"),
        ("reason", "u1"),
        ("terminals", "<i8"),
        ("attempts", "<i8"),
        ("attempts_max", "<u4"),
    ]
)
"""Instead of rows, where terminals are too many: how many had this outcome and reason, and their attempts."""

TIMES = np.dtype([("from_ns", "<i8"), ("below_ns", "<i8"), ("count", "<i8")])
"""The same of retrieved_at_ns: how many lie in a class, from_ns ≤ value < below_ns; empty classes left out."""

TABLES = {
    "terminals": TERMINAL,
    "lines": LINE_COUNTERS,
    "hosts": HOST,
    "refusals": REFUSAL,
    "progress": PROGRESS,
    "tally": TALLY,
    "times": TIMES,
}


@dataclass
class RunRecord:
    """One run.  verdict: why it is invalid, empty when it is valid.  extra: JSON of what has no table."""

    mode: str
    backend: str
    engine: str
    scenario_name: str
    scenario_text: str
    seed: int
    time_scale: float = 1.0
    version: str = ""
    started_at: str = ""
    host: dict[str, Any] = field(default_factory=dict)
    complete: bool = False
    verdict: list[str] = field(default_factory=list)
    makespan_ns: int = 0
    terminals: Table = field(default_factory=lambda: np.zeros(0, TABLES["terminals"]))
    lines: Table = field(default_factory=lambda: np.zeros(0, TABLES["lines"]))
    hosts: Table = field(default_factory=lambda: np.zeros(0, TABLES["hosts"]))
    refusals: Table = field(default_factory=lambda: np.zeros(0, TABLES["refusals"]))
    progress: Table = field(default_factory=lambda: np.zeros(0, TABLES["progress"]))
    tally: Table = field(default_factory=lambda: np.zeros(0, TABLES["tally"]))
    times: Table = field(default_factory=lambda: np.zeros(0, TABLES["times"]))
    extra: dict[str, Any] = field(default_factory=dict)


def records_equal(left: RunRecord, right: RunRecord) -> bool:
    """Whether two records hold the same values."""
    for item in fields(RunRecord):
        a, b = getattr(left, item.name), getattr(right, item.name)
        if not (np.array_equal(a, b) if item.name in TABLES else a == b):
            return False
    return True
