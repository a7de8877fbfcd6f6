"""A verdict names every condition that is hit, and only those."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from hostemu.runner.verdict import Evidence, judge

QUIET = Evidence(
    engine={
        "frames_written": 100_000,
        "late_over_1ms": 10,
        "packets_discarded": 0,
        "write_errors": 0,
        "busy": 0.2,
    },
    load={"windows": 20, "saturated_share": 0.0, "steal_fraction": 0.0, "swapped_pages": 0},
    lag_p99_ns={"isp-0": 2_000_000, "farm-0": 1_000_000},
    on_ns=5_000_000_000,
)


def test_a_quiet_run_is_valid() -> None:
    assert judge(QUIET) == []


@pytest.mark.parametrize(
    ("part", "key", "value", "word"),
    [
        ("engine", "late_over_1ms", 2_000, "late timers"),
        ("engine", "packets_discarded", 1, "out of frame buffers"),
        ("engine", "write_errors", 3, "3 packets, a full NIC queue"),
        ("engine", "busy", 0.95, "saturated"),
        ("load", "saturated_share", 0.5, "CPU saturated"),
        ("load", "steal_fraction", 0.1, "stolen"),
        ("load", "swapped_pages", 1, "swap"),
        ("lag_p99_ns", "isp-0", 900_000_000, "isp-0: 900 ms"),
    ],
)
def test_each_condition_is_named_alone(part: str, key: str, value: float, word: str) -> None:
    changed: dict[str, Any] = {**getattr(QUIET, part), key: value}
    reasons = judge(replace(QUIET, **{part: changed}))
    assert len(reasons) == 1
    assert word in reasons[0]


def test_one_busy_second_at_the_start_of_a_short_run_is_no_sign() -> None:
    assert judge(replace(QUIET, load={**QUIET.load, "windows": 1, "saturated_share": 1.0})) == []


def test_a_run_without_frames_is_judged_too() -> None:
    assert judge(replace(QUIET, engine={**QUIET.engine, "frames_written": 0, "late_over_1ms": 0})) == []
