"""Tells the user how far a campaign is, and how much time it will still take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from hostemu.measure.definition import Campaign
from hostemu.measure.plan import Block, Cell, expected_s
from hostemu.runner.eta import TimeLeft, spoken

OnEvent = Callable[[dict[str, Any]], None]


class Progress:
    """planned: all blocks of the campaign.  left: those to be measured now.  done: repeats per cell, as it grows."""

    def __init__(
        self,
        campaign: Campaign,
        planned: Sequence[Block],
        left: Sequence[Block],
        done: Mapping[Cell, Collection[int]],
        on_event: OnEvent,
    ) -> None:
        self._total = sum(len(block.repeats) for block in planned)
        self._cells = {block.cell for block in planned}
        self._done = done
        self._on_event = on_event
        self._left = TimeLeft([(block.cell.figure, expected_s(campaign, block)) for block in left])

    def begin(self, block: Block) -> None:
        """The next block begins."""
        self._left.begin()
        self.tell(block.cell)

    def end(self) -> None:
        """It has ended, well or not."""
        self._left.end()

    def tell(self, cell: Cell, text: str = "") -> None:
        """Say what is being measured, and how far that is, in words."""
        done = sum(len(repeats) for known, repeats in self._done.items() if known in self._cells)
        words = [str(cell), *([text] if text else []), f"about {spoken(self._left.seconds())} left"]
        self._on_event({"phase": "campaign", "done": done, "total": self._total, "note": " · ".join(words)})

    def line(self, text: str) -> None:
        """Say something that is to stay on the screen."""
        self._on_event({"line": text})
