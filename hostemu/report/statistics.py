"""Means of a few runs, with the interval that says how far to trust them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtrit  # scipy.stats has the same, but is slow to import

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """mean of n values; half_width of its 95 % interval (Student's t), None when n is 1."""

    mean: float
    half_width: float | None
    n: int

    @staticmethod
    def of(values: Sequence[float]) -> Estimate:
        """The estimate from at least one value."""
        n = len(values)
        mean = math.fsum(values) / n
        if n == 1:
            return Estimate(mean, None, 1)
        deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (n - 1))
        quantile = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2))
        return Estimate(mean, quantile * deviation / math.sqrt(n), n)

    def text(self, digits: int = 1) -> str:
        """ "212.3 ± 1.9", or "212.3" for a single value."""
        spread = "" if self.half_width is None else f" ± {self.half_width:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread}"
