"""What a campaign does inside labs: asks backends what they are, and measures blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hostemu.base.errors import HostemuError
from hostemu.guests import backend as find_backend
from hostemu.measure.block import Order, run_block
from hostemu.measure.wiring import wirings_of
from hostemu.runner.farms import FARMS

Emit = Callable[[dict[str, Any]], None]


def probe(names: list[str], _emit: Emit) -> dict[str, dict[str, Any]]:
    """What each backend says of itself; one that fails to say it is not usable."""
    return {name: _probe(name) for name in names}


def _probe(name: str) -> dict[str, Any]:
    backend = find_backend(name)
    said: dict[str, Any] = {"wirings": wirings_of(backend), "farm": name in FARMS, "identity": {}}
    try:
        found = backend.probe()
        identity = backend.identity() if found.usable else {}
    except HostemuError as error:
        return {**said, "usable": False, "reason": " ".join(str(error).split()), "fix": error.hint or ""}
    return {**said, "usable": found.usable, "reason": found.reason, "fix": found.fix, "identity": identity}


def measure(order: Mapping[str, Any], emit: Emit) -> None:
    """Measure one block; see hostemu.measure.block."""
    run_block(Order.from_json(order), emit, FARMS)
