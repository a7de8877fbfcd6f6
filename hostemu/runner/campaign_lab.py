"""What a campaign does inside labs: it measures blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hostemu.measure.block import Order, run_block
from hostemu.runner.farms import FARMS

Emit = Callable[[dict[str, Any]], None]


def measure(order: Mapping[str, Any], emit: Emit) -> None:
    """Measure one block; see hostemu.measure.block."""
    run_block(Order.from_json(order), emit, FARMS)
