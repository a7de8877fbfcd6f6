"""What a telecommunication line does to a frame: rate, queue, loss and delay; pure functions over records."""

from hostemu.lines.line import Line
from hostemu.lines.model import DROPPED, LINE, LOST, LineState, deliver, line_key, offer
from hostemu.lines.spec import (
    ETHERNET_OVERHEAD_BYTES,
    MINIMUM_FRAME_BYTES,
    LineCounters,
    LineSpec,
    bytes_on_wire,
)

__all__ = [
    "DROPPED",
    "ETHERNET_OVERHEAD_BYTES",
    "LINE",
    "LOST",
    "MINIMUM_FRAME_BYTES",
    "Line",
    "LineCounters",
    "LineSpec",
    "LineState",
    "bytes_on_wire",
    "deliver",
    "line_key",
    "offer",
]
