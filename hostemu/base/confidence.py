"""How far from a mean its interval reaches."""

from __future__ import annotations

import math

CONFIDENCE = 0.95


def student(freedom: float) -> float:
    """Half the width of an interval in standard errors, by Student's distribution; infinite without freedom."""
    from scipy.special import stdtrit  # slow to import, and needed by few commands

    return float(stdtrit(min(freedom, 1e9), (1 + CONFIDENCE) / 2)) if freedom > 0 else math.inf
