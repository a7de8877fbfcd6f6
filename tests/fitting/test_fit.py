"""Fits find the coefficients that made the points, with intervals that are honest."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.fitting import FORMS, fit

X = np.array([1.0, 2, 5, 10, 20, 50, 100, 200])
COEFFICIENTS = {
    "constant": (3.0e6,),
    "linear": (4.0e6, 2.5e4),
    "power": (8.0e-4, 0.81),
    "knee": (8.0e6, 1.5e5, 64.0),
    "quotient": (7.0e6,),
    "room": (0.5, 2.0),
    "service": (2.0e-6, 4.0e-10),
    "service_rate": (2.0e-6, 4.0e-10),
    "shared": (1.2e9, 0.31),
    "scalability": (1.2e9, 0.05, 4e-4),
}


@pytest.mark.parametrize("name", FORMS)
def test_points_without_noise_give_their_coefficients_back(name: str) -> None:
    y = FORMS[name].function(X, *COEFFICIENTS[name])
    found = fit(name, X, y)
    assert found.values == pytest.approx(COEFFICIENTS[name], rel=1e-4)
    assert max(map(abs, found.residuals)) < 1e-5


@given(
    st.sampled_from(["linear", "quotient", "service", "service_rate", "shared"]),
    st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)),
    st.floats(1e-9, 1e9),
)
@settings(max_examples=60, deadline=None)
def test_units_do_not_matter(name: str, factors: tuple[float, float], unit: float) -> None:
    values = [value * factor for value, factor in zip(COEFFICIENTS[name], factors, strict=False)]
    y = FORMS[name].function(X, *values)
    found, scaled = fit(name, X, y), fit(name, X, y * unit)
    assert scaled.at(30).value == pytest.approx(found.at(30).value * unit, rel=1e-4)


@pytest.mark.parametrize("name", ["linear", "service", "service_rate", "shared"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(name: str) -> None:
    rng = np.random.default_rng(1)
    truth = float(FORMS[name].function(np.array([30.0]), *COEFFICIENTS[name])[0])
    held = 0
    for _ in range(200):
        x = np.repeat(X, 3)
        found = fit(name, x, FORMS[name].function(x, *COEFFICIENTS[name]) * rng.normal(1, 0.03, len(x)))
        prediction = found.at(30)
        held += prediction.low <= truth <= prediction.high
        assert found.deviation == pytest.approx(0.03, rel=0.8)
    assert 0.90 <= held / 200 <= 0.99


def test_what_lies_outside_of_the_points_is_marked() -> None:
    found = fit("linear", X, 3 + 2 * X)
    assert (found.least, found.most) == (1, 200)
    assert not found.at(1).is_extrapolated
    assert not found.at(200).is_extrapolated
    assert found.at(201).is_extrapolated


def test_none_of_something_is_a_point_too() -> None:
    x = np.array([0.0, 0, 0, 100])
    found = fit("linear", x, 3 + 2 * x)
    assert found.values == pytest.approx((3, 2), rel=1e-4)
    assert not found.at(0).is_extrapolated


def test_nothing_fits_into_less_than_the_floor() -> None:
    found = fit("room", [10.0, 20, 30], [3.0, 8, 13])
    assert found.values == pytest.approx((4, 2), rel=1e-4)
    assert found.at(3).value == 0
    assert found.at(3).is_extrapolated


def test_as_many_points_as_coefficients_say_nothing_of_the_interval() -> None:
    found = fit("linear", [1, 2], [3, 5])
    assert found.at(1.5).value == pytest.approx(4)
    assert math.isinf(found.coefficients["slope"].high)


@pytest.mark.parametrize(
    ("x", "y"), [([1.0], [2.0]), ([1.0, 1.0], [2.0, 3.0]), ([1.0, 2.0], [2.0]), ([1.0, 2.0], [2.0, 0.0])]
)
def test_points_that_tell_nothing_are_refused(x: list[float], y: list[float]) -> None:
    with pytest.raises(InputError):
        fit("linear", x, y)
