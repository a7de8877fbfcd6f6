"""Figures of a campaign as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Scale:
    """What a value is divided by to be shown, the unit that it is shown in, and the digits."""

    divisor: float
    unit: str
    digits: int

    def text(self, value: float) -> str:
        """A value without its unit."""
        return f"{value / self.divisor:,.{self.digits}f}"


SCALES: Mapping[str, Scale] = {
    "bit/s": Scale(1e6, "Mbit/s", 1),
    "1/s": Scale(1e3, "thousand/s", 1),
    "B": Scale(2**20, "MiB", 1),
    "ns": Scale(1e3, "µs", 1),
    "s": Scale(1.0, "s", 3),
    "": Scale(1.0, "", 1),
}
"""By the unit in which a campaign keeps its values."""

WHOLE = Scale(1.0, "", 0)
OCTETS = Scale(1.0, "B", 0)


def scale_up_to(most: float, unit: str) -> Scale:
    """How values of a unit are shown that are `most` at most: bytes of packets as such, not in MiB."""
    return OCTETS if unit == "B" and most < SCALES[unit].divisor else SCALES[unit]


def scale_of(quantity: Mapping[str, Any]) -> Scale:
    """How a campaign's quantity is shown; counts that were the same every time have no digits."""
    if not quantity["unit"] and quantity["low"] == quantity["high"] and float(quantity["low"]).is_integer():
        return WHOLE
    return scale_up_to(quantity["high"], quantity["unit"])


def half_width(quantity: Mapping[str, Any]) -> float | None:
    """Half of Student's 95 % interval; None for one value."""
    interval = quantity["student"]
    return None if interval is None else float(interval["high"] - interval["low"]) / 2


def mean_text(quantity: Mapping[str, Any]) -> str:
    """ "1,234.5 ± 6.7", in the unit of its scale."""
    scale, half = scale_of(quantity), half_width(quantity)
    return scale.text(quantity["mean"]) + ("" if half is None else f" ± {scale.text(half)}")


def cell_name(cell: Mapping[str, Any]) -> str:
    """A cell as people read it: "iperf, netns, wiring gine"."""
    return ", ".join([cell["figure"], cell["backend"], *(f"{k} {v}" for k, v in cell["parameters"].items())])
