"""Predictions as people and programs read them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.fitting import Prediction
from hostemu.report.predictions import EXTRAPOLATED, render_prediction

MIB = 1 << 20
numbers = st.floats(0, 1e15)


def prediction(value: float, half: float, *, is_extrapolated: bool) -> Prediction:
    return Prediction(value - half, value + half, value, is_extrapolated)


@pytest.mark.parametrize(
    ("value", "half", "unit", "is_extrapolated", "text"),
    [
        (12.3 * MIB, 0.4 * MIB, "B", True, "12.3 MiB ± 0.4, extrapolated"),
        (12.3 * MIB, 0.4 * MIB, "B", False, "12.3 MiB ± 0.4"),
        (34.0, math.inf, "", False, "34.0, interval unknown"),
        (34.0, math.inf, "", True, "34.0, interval unknown, extrapolated"),
        (105_000.0, 2_000.0, "ns", False, "105.0 µs ± 2.0"),
    ],
)
def test_a_prediction_reads_as(value: float, half: float, unit: str, is_extrapolated: bool, text: str) -> None:
    assert render_prediction(prediction(value, half, is_extrapolated=is_extrapolated), unit) == text


@given(value=numbers, half=numbers | st.just(math.inf), is_extrapolated=st.booleans())
def test_the_mark_is_there_when_it_should_be_and_json_has_no_infinities(
    value: float, half: float, is_extrapolated: bool
) -> None:
    found = prediction(value, half, is_extrapolated=is_extrapolated)
    assert (EXTRAPOLATED in render_prediction(found, "s")) == is_extrapolated
    document = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert (document["value"], document["is_extrapolated"]) == (value, is_extrapolated)
    assert (document["low"] is None) == math.isinf(half)
