"""Means of a few runs, with the interval that says how far to trust them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hostemu.measure.statistics import mean, student_interval


@dataclass(frozen=True)
class Estimate:
    """mean of n values; half_width of its 95 % interval (Student's t), None when n is 1."""

    mean: float
    half_width: float | None
    n: int

    @staticmethod
    def of(values: Sequence[float]) -> Estimate:
        """The estimate from at least one value."""
        interval = student_interval(values)
        return Estimate(mean(values), None if interval is None else interval.half_width, len(values))

    def text(self, digits: int = 1) -> str:
        """ "212.3 ± 1.9", or "212.3" for a single value."""
        spread = "" if self.half_width is None else f" ± {self.half_width:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"
