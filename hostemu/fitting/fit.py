"""Fitting a form to points: least squares of relative errors, intervals, residuals, and the range that they cover."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from hostemu.base.confidence import student
from hostemu.base.errors import InputError
from hostemu.fitting.forms import FORMS, Form, Values
from hostemu.measure.statistics import Interval


@dataclass(frozen=True)
class Estimate(Interval):
    """A value with its interval, whose ends are infinite where points do not tell."""

    value: float

    @staticmethod
    def around(value: float, half_width: float) -> Estimate:
        """The value, give or take half a width."""
        return Estimate(value - half_width, value + half_width, value)


@dataclass(frozen=True)
class Prediction(Estimate):
    """What a model says of one x.  is_extrapolated: x lies outside of what the model was fitted to."""

    is_extrapolated: bool

    def times(self, factor: float) -> Prediction:
        """Of so many of them."""
        return Prediction(self.low * factor, self.high * factor, self.value * factor, self.is_extrapolated)

    @staticmethod
    def total(parts: Iterable[Prediction]) -> Prediction:
        """The sum of what is not negative; errors of parts are taken to be independent."""
        items = list(parts)
        value = math.fsum(item.value for item in items)
        half = math.hypot(*(item.high - item.value for item in items))
        return Prediction(max(0.0, value - half), value + half, value, any(item.is_extrapolated for item in items))

    def as_json(self) -> dict[str, Any]:
        """As plain data; low and high are None where too little is known."""
        is_known = math.isfinite(self.half_width)
        return {
            "value": self.value,
            "low": self.low if is_known else None,
            "high": self.high if is_known else None,
            "is_extrapolated": self.is_extrapolated,
        }


@dataclass(frozen=True)
class Fit:
    """A form with its coefficients.

    coefficients: by name, with 95 % intervals.  covariance: of their values, in the form's order.
    least, most: the range of x that was fitted.  n: points.
    residuals: (y − model) / y of every point, in the order given.
    """

    form: Form
    coefficients: dict[str, Estimate]
    covariance: npt.NDArray[np.float64]
    least: float
    most: float
    n: int
    residuals: tuple[float, ...]

    @property
    def values(self) -> tuple[float, ...]:
        """The coefficients, in the form's order."""
        return tuple(self.coefficients[item.name].value for item in self.form.coefficients)

    @property
    def deviation(self) -> float:
        """Standard deviation of the relative residuals; 0 where there are no more points than coefficients."""
        freedom = self.n - len(self.coefficients)
        return math.sqrt(math.fsum(r * r for r in self.residuals) / freedom) if freedom > 0 else 0.0

    def at(self, x: float) -> Prediction:
        """The mean of y at x, with the interval that follows from the coefficients' (delta method)."""
        y = float(self.form.function(np.array([x]), *self.values)[0])
        half = self._half_width(x)
        return Prediction(y - half, y + half, y, not self.least <= x <= self.most)

    def _half_width(self, x: float) -> float:
        freedom = self.n - len(self.values)
        if freedom <= 0:
            return math.inf
        slopes = np.array([self._slope(x, k) for k in range(len(self.values))])
        return student(freedom) * math.sqrt(max(float(slopes @ self.covariance @ slopes), 0.0))

    def _slope(self, x: float, k: int) -> float:
        """How y changes with coefficient k."""
        step = max(abs(self.values[k]), 1e-12) * 1e-6
        ends = []
        for sign in (-1, 1):
            values = list(self.values)
            values[k] += sign * step
            ends.append(float(self.form.function(np.array([x]), *values)[0]))
        return (ends[1] - ends[0]) / (2 * step)


def fit(form: str, x: Sequence[float], y: Sequence[float]) -> Fit:
    """The form's coefficients for which the sum of squared relative errors is least.

    Raises InputError for points that cannot be fitted: fewer than coefficients, or values that are not positive.
    """
    from scipy import optimize  # slow to import, and needed by few commands

    shape = FORMS[form]
    xs, ys = _checked(shape, x, y)
    scale = _scales(shape, xs, ys)
    guess = np.array(shape.guess(xs, ys)) / scale

    def errors(scaled: Values) -> Values:
        model: Values = shape.function(xs, *(scaled * scale))
        return (model - ys) / ys

    done = optimize.least_squares(errors, np.maximum(guess, 1e-9), bounds=(0.0, np.inf), x_scale="jac")
    values = done.x * scale
    freedom = len(xs) - len(values)
    covariance = _covariance(done, scale, freedom)
    half = student(freedom) * np.sqrt(np.diag(covariance))
    named = zip(shape.coefficients, values, half, strict=True)
    coefficients = {c.name: Estimate.around(float(v), float(h)) for c, v, h in named}
    residuals = tuple(float(-r) for r in done.fun)
    return Fit(shape, coefficients, covariance, float(xs.min()), float(xs.max()), len(xs), residuals)


def _checked(form: Form, x: Sequence[float], y: Sequence[float]) -> tuple[Values, Values]:
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    needed = len(form.coefficients)
    if len(xs) != len(ys) or len(np.unique(xs)) < needed:
        raise InputError(
            f"too few points for a model of the form {form.name}",
            expected=f"at least {needed} different x, and a y for each",
            found=f"{len(np.unique(xs))} x, {len(ys)} y",
            hint="measure at more sizes",
        )
    if not (np.isfinite(xs).all() and np.isfinite(ys).all() and (xs >= 0).all() and (ys > 0).all()):
        raise InputError(
            "points that no model can be fitted to",
            expected="x ≥ 0, y > 0",
            found=f"x from {xs.min():g}, y from {ys.min():g}",
        )
    return xs, ys


def _scales(form: Form, xs: Values, ys: Values) -> Values:
    """The size that each coefficient has if it matters: fits begin with numbers around 1."""
    x, y = float(np.median(xs)) or float(xs.max()) or 1.0, float(np.median(ys))
    return np.array([item.scale(x, y) for item in form.coefficients])


def _covariance(done: Any, scale: Values, freedom: int) -> npt.NDArray[np.float64]:
    """Of the coefficients; infinite variances where points do not tell them apart or leave nothing over."""
    size = len(scale)
    if freedom <= 0:
        return np.diag(np.full(size, np.inf)) if size > 1 else np.full((1, 1), np.inf)
    variance = 2 * done.cost / freedom
    inverse = np.linalg.pinv(done.jac.T @ done.jac)
    return np.asarray(inverse * variance * np.outer(scale, scale), float)
