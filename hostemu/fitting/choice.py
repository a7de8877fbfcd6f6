"""Which of several forms some points are best described by."""

from __future__ import annotations

import math
from collections.abc import Sequence

from hostemu.base.errors import InputError
from hostemu.fitting.fit import Fit, fit

NEGLIGIBLE = 1e-9
"""Relative residuals below this are rounding, and no reason to prefer a form."""


def best_fit(forms: Sequence[str], x: Sequence[float], y: Sequence[float]) -> Fit:
    """The fit with the least Bayesian information criterion (Schwarz, Annals of Statistics 6(2), 1978).

    A form with one more coefficient must therefore be worth it.  Forms with too many coefficients for the points are
    passed over; InputError when that is all of them.
    """
    fits = []
    for form in forms:
        try:
            fits.append(fit(form, x, y))
        except InputError as error:
            refused = error
    if not fits:
        raise refused
    return min(fits, key=criterion)


def criterion(found: Fit) -> float:
    """The Bayesian information criterion of a fit, from its relative residuals; infinite without freedom."""
    n, k = found.n, len(found.coefficients)
    if n <= k:
        return math.inf
    mean_square = math.fsum(r * r for r in found.residuals) / n
    return n * math.log(max(mean_square, NEGLIGIBLE**2)) + k * math.log(n)
