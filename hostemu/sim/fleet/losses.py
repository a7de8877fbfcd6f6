"""Frames that the line to a terminal loses.

Each frame has a draw of its own, named by terminal, attempt, direction, kind, and its number among the attempt's
frames of that kind.  (Frames of two kinds may be sent at the very same moment, in either order.)  The twin draws
along a line instead, frame after frame of everybody on it.  Both lose every frame with the same probability,
independently of the others; single frames' fates differ.
"""

from __future__ import annotations

from typing import NamedTuple

from hostemu.base.streams import draw_uniform
from hostemu.lines.compiling import compiled
from hostemu.sim.fleet.rules import Rules

DOWN, UP = 0, 1
"""Directions of frames: to the terminal, and back."""

BARE, MESSAGE = 0, 1
"""Kinds of frames: of TCP, without a message of the programs; all others."""

_FRAME_BITS = 10  # an attempt has fewer frames of each kind


class Attempt(NamedTuple):
    """terminal: its index.  number: of the attempt, from 0."""

    terminal: int
    number: int
    begin_ns: int


@compiled
def is_lost(rules: Rules, this: Attempt, direction: int, kind: int, frame: int) -> bool:
    """Whether the frame of this kind with this number is lost on its way in `direction`."""
    loss = rules.loss_down if direction == DOWN else rules.loss_up
    if loss == 0.0:
        return False
    key = int(draw_uniform(rules.loss_key, this.terminal) * 2.0**53)
    counter = (((this.number << _FRAME_BITS) + frame) << 2) + (direction << 1) + kind
    return draw_uniform(key, counter) < loss
