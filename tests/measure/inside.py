"""Blocks of campaigns, measured inside a lab: functions of (argument, emit)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostemu.measure.block import Order, run_block
from hostemu.measure.definition import Campaign
from hostemu.measure.plan import plan

Emit = Callable[[dict[str, Any]], None]


def blocks(argument: dict[str, Any], emit: Emit) -> None:
    """Every block of a campaign on some backends, one after the other."""
    campaign = Campaign.model_validate(argument["campaign"])
    for number, block in enumerate(plan(campaign, argument["backends"])):
        run_block(Order(campaign, block, Path(argument["folder"], str(number))), emit, {})
