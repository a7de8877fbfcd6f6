"""The forms that models have.  Each follows from what happens, so that its coefficients mean something.

All of them take x ≥ 0 and have coefficients that are not negative.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Coefficient:
    """name: in model files.  power_x, power_y: its unit is that of x and y to these powers.  meaning: in words."""

    name: str
    power_x: int
    meaning: str
    power_y: int = 1

    def scale(self, x: float, y: float) -> float:
        """The size that it has where it matters, at this x and y."""
        return float(x**self.power_x * y**self.power_y)


@dataclass(frozen=True)
class Form:
    """y as a function of x and coefficients.

    guess: coefficients to begin a fit with, from x and y.
    """

    name: str
    formula: str
    source: str
    coefficients: tuple[Coefficient, ...]
    function: Callable[..., Any]
    guess: Callable[[Values, Values], tuple[float, ...]]


def _constant(x: Values, each: float) -> Values:
    return np.full_like(np.asarray(x, float), each)


def _linear(x: Values, floor: float, slope: float) -> Values:
    return floor + slope * np.asarray(x, float)


def _power(x: Values, each: float, elasticity: float) -> Values:
    return each * np.asarray(x, float) ** elasticity


def _guess_power(x: Values, y: Values) -> tuple[float, float]:
    return float(np.median(y / x)), 1.0


def _knee(x: Values, floor: float, slope: float, knee: float) -> Values:
    return floor + slope * np.minimum(x, knee)


def _quotient(x: Values, each: float) -> Values:
    return np.asarray(x, float) / each


def _room(x: Values, floor: float, each: float) -> Values:
    return np.maximum(np.asarray(x, float) - floor, 0.0) / each


def _service(x: Values, per_unit: float, per_size: float) -> Values:
    x = np.asarray(x, float)
    return x / (per_unit + per_size * x)


def _service_rate(x: Values, per_unit: float, per_size: float) -> Values:
    return 1 / (per_unit + per_size * np.asarray(x, float))


def _shared(x: Values, alone: float, contention: float) -> Values:
    x = np.asarray(x, float)
    return alone * x / (1 + contention * (x - 1))


def _scalability(x: Values, alone: float, contention: float, crosstalk: float) -> Values:
    x = np.asarray(x, float)
    return alone * x / (1 + contention * (x - 1) + crosstalk * x * (x - 1))


def _line_through(x: Values, y: Values) -> tuple[float, float]:
    slope, floor = np.polyfit(x, y, 1) if len(np.unique(x)) > 1 else (0.0, float(np.mean(y)))
    return max(float(floor), 0.0), max(float(slope), 0.0)


def _guess_knee(x: Values, y: Values) -> tuple[float, float, float]:
    return (*_line_through(x, y), float(np.median(x)))


def _guess_room(x: Values, y: Values) -> tuple[float, float]:
    each, floor = np.polyfit(y, x, 1) if len(np.unique(y)) > 1 else (float(np.mean(x / y)), 0.0)
    return max(float(floor), 0.0), max(float(each), 0.0)


def _guess_service(x: Values, y: Values) -> tuple[float, float]:
    return _line_through(x, x / y)


def _guess_service_rate(x: Values, y: Values) -> tuple[float, float]:
    return _line_through(x, 1 / y)


def _guess_shared(x: Values, y: Values) -> tuple[float, float]:
    at = int(np.argmin(x))
    return float(y[at] / x[at]), 0.1


def _guess_scalability(x: Values, y: Values) -> tuple[float, float, float]:
    return (*_guess_shared(x, y), 1e-4)


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form(
            "constant",
            "y = each",
            "",
            (Coefficient("each", 0, "of every x"),),
            _constant,
            lambda x, y: (float(np.mean(y)),),
        ),
        Form(
            "linear",
            "y = floor + slope · x",
            "",
            (Coefficient("floor", 0, "without any x"), Coefficient("slope", -1, "per unit of x")),
            _linear,
            _line_through,
        ),
        Form(
            "power",
            "y = each · x^elasticity",
            "",
            (
                Coefficient("each", -1, "of the first x"),
                Coefficient(
                    "elasticity", 0, "by what share y grows as x does; below 1, much at a time is cheaper", 0
                ),
            ),
            _power,
            _guess_power,
        ),
        Form(
            "knee",
            "y = floor + slope · min(x, knee)",
            "",
            (
                Coefficient("floor", 0, "without any x"),
                Coefficient("slope", -1, "per unit of x, up to the knee"),
                Coefficient("knee", 1, "x from which on more of it changes nothing", 0),
            ),
            _knee,
            _guess_knee,
        ),
        Form(
            "quotient",
            "y = x / each",
            "",
            (Coefficient("each", 1, "x that each takes", -1),),
            _quotient,
            lambda x, y: (float(np.mean(x / y)),),
        ),
        Form(
            "room",
            "y = max(0, x − floor) / each",
            "",
            (
                Coefficient("floor", 1, "x that none of them can have", 0),
                Coefficient("each", 1, "x that each takes", -1),
            ),
            _room,
            _guess_room,
        ),
        Form(
            "service",
            "y = x / (per_unit + per_size · x)",
            "utilisation law: a server that is always busy takes per_unit + per_size · x for a unit of size x",
            (
                Coefficient("per_unit", 1, "time of a unit, whatever its size", -1),
                Coefficient("per_size", 0, "time per unit of size", -1),
            ),
            _service,
            _guess_service,
        ),
        Form(
            "service_rate",
            "y = 1 / (per_unit + per_size · x)",
            "the same, counted in units instead of size",
            (
                Coefficient("per_unit", 0, "time of a unit, whatever its size", -1),
                Coefficient("per_size", -1, "time per unit of size", -1),
            ),
            _service_rate,
            _guess_service_rate,
        ),
        Form(
            "shared",
            "y = alone · x / (1 + contention · (x − 1))",
            "G. Amdahl, AFIPS 1967: a share `contention` of the work is done one at a time",
            (
                Coefficient("alone", -1, "what one reaches alone"),
                Coefficient("contention", 0, "share of the work that all must queue for", 0),
            ),
            _shared,
            _guess_shared,
        ),
        Form(
            "scalability",
            "y = alone · x / (1 + contention · (x − 1) + crosstalk · x · (x − 1))",
            "N. Gunther, Guerrilla Capacity Planning, 2007: the Universal Scalability Law",
            (
                Coefficient("alone", -1, "what one reaches alone"),
                Coefficient("contention", 0, "share of the work that all must queue for", 0),
                Coefficient("crosstalk", 0, "share of the work that each causes for every other", 0),
            ),
            _scalability,
            _guess_scalability,
        ),
    )
}
