"""A line for programs in Python, such as the simulator."""

from __future__ import annotations

from hostemu.lines.model import LineState, deliver, offer
from hostemu.lines.spec import LineCounters, LineSpec


class Line:
    """One direction of a line at rest; `key` names its loss draws (see line_key).

    It runs the plain form of the model: called one packet at a time from Python, that is quicker than crossing
    into the compiled form (tests/bench/test_gine_bench.py prints both).
    """

    __slots__ = ("_state", "spec")

    def __init__(self, spec: LineSpec, key: int) -> None:
        self.spec = spec
        self._state = LineState.of(spec, key)

    def offer(self, now_ns: int, wire_bytes: int) -> int:
        """Offer a packet; the moment it arrives in ns, or LOST, or DROPPED.  Times must not decrease."""
        return offer(self._state, now_ns, wire_bytes)

    def deliver(self, wire_bytes: int, frames: int = 1) -> None:
        """Count `frames` packets of together `wire_bytes` as arrived."""
        deliver(self._state, frames, wire_bytes)

    def counters(self) -> LineCounters:
        """The counters as they stand."""
        return self._state.counters()
