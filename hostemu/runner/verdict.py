"""Whether a run can be believed: the conditions under which the emulation itself disturbs what it measures.

A run is valid when no condition is hit.  The limits are this program's; the reasons are in docs/decisions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

LATE_FRAME_LIMIT = 0.01
"""Share of frames that may leave the emulator more than 1 ms after they were due."""

SATURATED_WINDOWS_LIMIT = 0.10
"""Share of one-second windows in which all cores may be at least 97 % busy."""

SATURATED_WINDOWS_ALLOWED = 1
"""So many are no sign of anything, however short the run: programs have just been started."""

ENGINE_BUSY_LIMIT = 0.90
"""Share of its time that the emulator's thread may be busy: above, its queue grows without bound."""

STEAL_LIMIT = 0.02
"""Share of the cores' time that a hypervisor may take away."""

PROGRAM_LAG_SHARE = 0.1
"""A program's timers may be late (99th percentile) by this share of the terminals' on time."""


CLOCK_DRIFT_SHARE = 0.01
"""A guest's clock may go away from this machine's, during the run, by this share of the terminals' on time."""


@dataclass(frozen=True)
class Evidence:
    """What the conditions are judged by.

    engine: EngineHealth as a mapping.  load: LoadMonitor.summary().  lag_p99_ns: per program.  on_ns: on time.
    clock_drift_ns: of the guest's clock that drifted most.
    """

    engine: Mapping[str, Any]
    load: Mapping[str, Any]
    lag_p99_ns: Mapping[str, int]
    on_ns: int
    clock_drift_ns: int = 0


def judge(evidence: Evidence) -> list[str]:
    """The reasons why the run is invalid; empty when it is valid."""
    return [*_engine(evidence.engine), *_load(evidence.load), *_programs(evidence), *_clocks(evidence)]


def _engine(engine: Mapping[str, Any]) -> Iterator[str]:
    late = engine["late_over_1ms"] / max(1, engine["frames_written"])
    if late > LATE_FRAME_LIMIT:
        yield f"late timers: {late:.1%} of frames left the emulator over 1 ms late (limit {LATE_FRAME_LIMIT:.0%})"
    for key, what in (("packets_discarded", "out of frame buffers"), ("write_errors", "a full NIC queue")):
        if engine[key]:
            yield f"drops in the emulator: {engine[key]} packets, {what}"
    if engine["busy"] > ENGINE_BUSY_LIMIT:
        yield f"emulator saturated: its thread was busy {engine['busy']:.0%} of the time"


def _load(load: Mapping[str, Any]) -> Iterator[str]:
    saturated = round(load["saturated_share"] * load["windows"])
    if load["saturated_share"] > SATURATED_WINDOWS_LIMIT and saturated > SATURATED_WINDOWS_ALLOWED:
        yield (
            f"CPU saturated: all cores at least 97 % busy in {load['saturated_share']:.0%} of the seconds"
            f" (limit {SATURATED_WINDOWS_LIMIT:.0%})"
        )
    if load["steal_fraction"] > STEAL_LIMIT:
        yield f"CPU stolen: the hypervisor took {load['steal_fraction']:.1%} of the time (limit {STEAL_LIMIT:.0%})"
    if load["swapped_pages"]:
        yield f"swap: {load['swapped_pages']} pages were swapped during the run"


def _programs(evidence: Evidence) -> Iterator[str]:
    limit_ns = PROGRAM_LAG_SHARE * evidence.on_ns
    late = {name: lag for name, lag in evidence.lag_p99_ns.items() if lag > limit_ns}
    if late:
        name = max(late, key=late.__getitem__)
        yield (
            f"late programs: {len(late)} had timers late by more than {limit_ns / 1e6:.0f} ms"
            f" ({name}: {late[name] / 1e6:.0f} ms, 99th percentile)"
        )


def _clocks(evidence: Evidence) -> Iterator[str]:
    limit_ns = CLOCK_DRIFT_SHARE * evidence.on_ns
    if evidence.clock_drift_ns > limit_ns:
        yield (
            f"guest clocks: one drifted by {evidence.clock_drift_ns / 1e6:.1f} ms during the run"
            f" (limit {limit_ns / 1e6:.1f} ms)"
        )
