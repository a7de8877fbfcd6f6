"""What a line is like, what it has counted, and what a frame occupies on it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hostemu.base.errors import InputError
from hostemu.lines.compiling import compilable

# IEEE 802.3-2022: preamble 7 and start delimiter 1 (3.2.1, 3.2.2), check sequence 4 (3.2.9), gap 12 (4.4.2).
ETHERNET_OVERHEAD_BYTES = 24
# IEEE 802.3-2022, 4.4.2: minFrameSize 64 bytes with the check sequence, hence 60 without.
MINIMUM_FRAME_BYTES = 60

# The queue limit in bit·ns must fit 63 bits: 2**30 bytes × 8 × 10**9 < 2**63.
MAXIMUM_QUEUE_BYTES = 2**30 - 1
MAXIMUM_RATE_BPS = 10**15
MAXIMUM_DELAY_NS = 10**15


@compilable
def bytes_on_wire(frame_bytes: int) -> int:
    """Bytes of line time that an Ethernet frame takes; `frame_bytes` is without its check sequence."""
    return max(frame_bytes, MINIMUM_FRAME_BYTES) + ETHERNET_OVERHEAD_BYTES


def _check_integer(name: str, value: int | None, low: int, high: int) -> None:
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(
            f"a line's {name} is out of range", expected=f"an integer from {low} to {high}", found=repr(value)
        )


@dataclass(frozen=True)
class LineSpec:
    """One direction of a line.

    rate_bps: bit/s, preamble and gap included; None: serialisation takes no time.
    queue_bytes: limit of the backlog that waits for the line, in bytes on the wire; None: no limit.
        (Without a rate nothing ever waits.)
    delay_ns: propagation delay.
    loss: probability that the wire loses a packet, each on its own (Bernoulli).
    Raises InputError for values that are no line.
    """

    rate_bps: int | None = None
    queue_bytes: int | None = None
    delay_ns: int = 0
    loss: float = 0.0

    def __post_init__(self) -> None:
        _check_integer("rate_bps", self.rate_bps, 1, MAXIMUM_RATE_BPS)
        _check_integer("queue_bytes", self.queue_bytes, 0, MAXIMUM_QUEUE_BYTES)
        if self.delay_ns is None:
            raise InputError("a line has no delay", expected="delay_ns as an integer", found="None")
        _check_integer("delay_ns", self.delay_ns, 0, MAXIMUM_DELAY_NS)
        if isinstance(self.loss, bool) or not isinstance(self.loss, (int, float)):
            raise InputError("a line's loss is no number", expected="0 to 1", found=repr(self.loss))
        if not (math.isfinite(self.loss) and 0.0 <= self.loss <= 1.0):
            raise InputError("a line's loss is no probability", expected="0 to 1", found=repr(self.loss))


@dataclass(frozen=True)
class LineCounters:
    """Packets and bytes on the wire of one direction; in = out + lost + dropped + in flight, always.

    in: offered; out: arrived at the far end; lost: by the wire; dropped: found the queue full.
    """

    frames_in: int
    frames_out: int
    frames_lost: int
    frames_dropped: int
    bytes_in: int
    bytes_out: int
    bytes_lost: int
    bytes_dropped: int

    @property
    def frames_in_flight(self) -> int:
        """Packets in the queue or on the wire."""
        return self.frames_in - self.frames_out - self.frames_lost - self.frames_dropped

    @property
    def bytes_in_flight(self) -> int:
        """Bytes in the queue or on the wire."""
        return self.bytes_in - self.bytes_out - self.bytes_lost - self.bytes_dropped
