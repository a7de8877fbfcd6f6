"""The line model: drop-tail queue, serialisation, loss, delay; over a plain object or a compiled record.

Every function takes the line first and is exact in integers: a line's busy period is kept as whole nanoseconds
plus a rest in units of 1/rate ns, so that rates which do not divide a second do not drift.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from hostemu.base.streams import Stream, draw_uniform
from hostemu.lines.compiling import compilable
from hostemu.lines.spec import LineCounters, LineSpec

LOST = -1
DROPPED = -2

_BIT_NS_PER_BYTE = 8 * 1_000_000_000


@dataclass(slots=True)
class LineState:
    """One direction of a line: what it is, where it stands, what it has counted.  LINE is the same as a record."""

    key: int
    rate_bps: int
    queue_bytes: int
    delay_ns: int
    loss: float
    busy_until_ns: int = 0
    busy_rest: int = 0
    last_due_ns: int = -1
    draws: int = 0
    frames_in: int = 0
    frames_out: int = 0
    frames_lost: int = 0
    frames_dropped: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    bytes_lost: int = 0
    bytes_dropped: int = 0

    @staticmethod
    def of(spec: LineSpec, key: int) -> LineState:
        """A line at rest.  `key` names its stream of loss draws; see line_key."""
        return LineState(
            key=key,
            rate_bps=0 if spec.rate_bps is None else spec.rate_bps,
            queue_bytes=-1 if spec.queue_bytes is None else spec.queue_bytes,
            delay_ns=spec.delay_ns,
            loss=float(spec.loss),
        )

    def counters(self) -> LineCounters:
        """The counters as they stand."""
        return LineCounters(**{field.name: int(getattr(self, field.name)) for field in fields(LineCounters)})


_KINDS = {"key": np.uint64, "loss": np.float64}
LINE = np.dtype([(field.name, _KINDS.get(field.name, np.int64)) for field in fields(LineState)])


def line_key(seed: int, name: str, direction: str) -> int:
    """Key of the loss draws of one direction of the line `name`."""
    return Stream.named(seed, "line", name, direction).key


@compilable
def offer(line: LineState, now_ns: int, wire_bytes: int) -> int:
    """Offer a packet at `now_ns`; the moment it arrives at the far end, or LOST, or DROPPED.

    Calls come in the order of their time.  Arrivals on one line never coincide and never overtake.
    """
    line.frames_in += 1
    line.bytes_in += wire_bytes
    sent_ns = now_ns
    if line.rate_bps > 0:
        if _queue_is_full(line, now_ns, wire_bytes):
            line.frames_dropped += 1
            line.bytes_dropped += wire_bytes
            return DROPPED
        sent_ns = _serialise(line, now_ns, wire_bytes)
    if line.loss > 0.0:
        draw = draw_uniform(line.key, line.draws)
        line.draws += 1
        if draw < line.loss:
            line.frames_lost += 1
            line.bytes_lost += wire_bytes
            return LOST
    line.last_due_ns = max(sent_ns + line.delay_ns, line.last_due_ns + 1)
    return line.last_due_ns


@compilable
def deliver(line: LineState, frames: int, wire_bytes: int) -> None:
    """Count `frames` packets of together `wire_bytes` as arrived."""
    line.frames_out += frames
    line.bytes_out += wire_bytes


@compilable
def _is_idle(line: LineState, now_ns: int) -> bool:
    return line.busy_until_ns < now_ns or (line.busy_until_ns == now_ns and line.busy_rest == 0)


@compilable
def _queue_is_full(line: LineState, now_ns: int, wire_bytes: int) -> bool:
    """Would the packet wait, and the backlog with it exceed the limit?  An idle line takes any packet."""
    if line.queue_bytes < 0 or _is_idle(line, now_ns):
        return False
    room = (line.queue_bytes - wire_bytes) * _BIT_NS_PER_BYTE - line.busy_rest
    return line.busy_until_ns - now_ns > room // line.rate_bps


@compilable
def _serialise(line: LineState, now_ns: int, wire_bytes: int) -> int:
    """Occupy the line; the first whole nanosecond at which the last bit has been sent."""
    begin_ns = line.busy_until_ns
    rest = line.busy_rest
    if _is_idle(line, now_ns):
        begin_ns = now_ns
        rest = 0
    work = wire_bytes * _BIT_NS_PER_BYTE + rest
    line.busy_until_ns = begin_ns + work // line.rate_bps
    line.busy_rest = work % line.rate_bps
    return line.busy_until_ns + (1 if line.busy_rest > 0 else 0)
