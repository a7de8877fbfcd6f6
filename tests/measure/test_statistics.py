"""Statistics of raw values: against tables and definitions, and as properties of any values."""

from __future__ import annotations

import math
import random
import statistics as reference

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hostemu.measure.statistics import (
    analyse,
    bootstrap_interval,
    mean,
    outliers,
    student_interval,
    trend,
    warm_up_length,
    warnings,
)

positive = st.floats(1e-3, 1e12)
some = st.lists(positive, min_size=2, max_size=30)


def noisy(count: int, center: float = 100.0, spread: float = 1.0, seed: int = 1) -> list[float]:
    generator = random.Random(seed)
    return [generator.gauss(center, spread) for _ in range(count)]


@given(values=st.lists(positive, min_size=1, max_size=30))
def test_mean_and_median_are_those_of_the_standard_library(values: list[float]) -> None:
    found = analyse(values)
    assert found.mean == pytest.approx(reference.fmean(values))
    assert found.median == reference.median(values)
    assert found.low <= found.mean <= found.high
    assert found.deviation == pytest.approx(reference.stdev(values) if len(values) > 1 else 0.0, abs=1e-3)


def test_students_interval_is_that_of_the_tables() -> None:
    interval = student_interval([10.0, 12.0, 14.0])
    assert interval is not None
    assert interval.half_width == pytest.approx(4.30265273 * 2 / math.sqrt(3))  # t(0.975, 2)


@given(values=some)
def test_both_intervals_hold_the_mean(values: list[float]) -> None:
    found = analyse(values)
    assert found.student is not None
    assert found.bootstrap is not None
    slack = 1e-9 * found.high
    assert found.student.low - slack <= found.mean <= found.student.high + slack
    assert found.low - slack <= found.bootstrap.low <= found.bootstrap.high <= found.high + slack


@given(values=some)
def test_the_same_values_give_the_same_result(values: list[float]) -> None:
    assert analyse(values) == analyse(list(values))


@given(values=some, factor=st.sampled_from([1e-6, 0.25, 8.0, 1e6]))
def test_results_and_warnings_do_not_depend_on_the_unit(values: list[float], factor: float) -> None:
    assume(max(values) / min(values) < 1e6)
    plain, scaled = analyse(values), analyse([factor * value for value in values])
    assert scaled.mean == pytest.approx(factor * plain.mean)
    if plain.student is not None and scaled.student is not None:
        rounding = 1e-12 * factor * max(values)
        assert scaled.student.half_width == pytest.approx(factor * plain.student.half_width, rel=1e-6, abs=rounding)


def test_intervals_cover_the_true_mean_about_as_often_as_they_say() -> None:
    hits = {"student": 0, "bootstrap": 0}
    for seed in range(200):
        found = analyse(noisy(10, seed=seed))
        assert found.student is not None
        assert found.bootstrap is not None
        hits["student"] += found.student.low <= 100.0 <= found.student.high
        hits["bootstrap"] += found.bootstrap.low <= 100.0 <= found.bootstrap.high
    assert 182 <= hits["student"] <= 199  # 190 expected
    assert 168 <= hits["bootstrap"] <= 199  # too narrow for ten values, as is known


def test_one_value_has_no_interval() -> None:
    found = analyse([3.0])
    assert (found.n, found.mean, found.student, found.bootstrap) == (1, 3.0, None, None)
    assert found.warnings == ("only 1 value: nothing is known of the spread",)


def test_equal_values_have_an_interval_of_no_width() -> None:
    found = analyse([5.0] * 4)
    assert found.student == found.bootstrap
    assert found.warnings == ()
    interval = bootstrap_interval([5.0, 5.0])
    assert interval is not None
    assert interval.half_width == 0


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [math.inf]])
def test_what_is_no_number_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        analyse(values)


def test_quiet_values_raise_no_warning() -> None:
    assert warnings(noisy(10, seed=3)) == []


def test_unstable_and_uncertain_values_are_called_so() -> None:
    said = warnings(noisy(6, spread=30.0, seed=2))
    assert any("unstable: coefficient of variation" in text for text in said)
    assert any("uncertain: the 95 % interval" in text for text in said)


def test_values_that_rise_or_fall_are_noticed() -> None:
    rising = [100 + step + noise for step, noise in enumerate(noisy(10, 0.0, 0.3))]
    change = trend(rising)
    assert change is not None
    assert 0.06 < change < 0.12
    assert any("rise with time" in text for text in warnings(rising))
    assert any("fall with time" in text for text in warnings(rising[::-1]))


@given(values=st.lists(positive, min_size=6, max_size=20, unique=True))
def test_a_trend_turns_round_with_the_values(values: list[float]) -> None:
    forward, backward = trend(values), trend(values[::-1])
    assert (forward is None) == (backward is None)
    if forward is not None and backward is not None:
        assert forward == pytest.approx(-backward)


@given(cut=st.integers(1, 4), seed=st.integers(0, 1000), jump=st.floats(30, 1000))
def test_a_warm_up_is_found_where_it_ends(cut: int, seed: int, jump: float) -> None:
    values = noisy(cut, 100 + jump, seed=seed) + noisy(12, 100, seed=seed + 1)
    found = warm_up_length(values)
    assert cut <= found <= cut + 3
    assert any(f"the first {found} of {len(values)} values" in text for text in warnings(values))


def test_values_that_are_steady_from_the_start_have_no_warm_up() -> None:
    assert sum(warm_up_length(noisy(10, seed=seed)) > 0 for seed in range(100)) < 10
    assert warm_up_length([1.0, 100.0]) == 0


@given(at=st.integers(0, 9), sign=st.sampled_from([-1, 1]))
def test_an_outlier_is_named_by_its_place(at: int, sign: int) -> None:
    values = [100.0, 100.1, 99.9, 100.05, 99.95, 100.02, 99.98, 100.08, 99.92, 100.0]
    values[at] += sign * 20
    assert outliers(values) == [at]
    assert any(f"outliers: repeat {at + 1}" in text for text in warnings(values))


@given(values=st.lists(positive, min_size=1, max_size=4))
def test_among_a_few_values_none_is_an_outlier(values: list[float]) -> None:
    assert outliers(values) == []


@given(value=positive, count=st.integers(1, 50))
def test_the_mean_of_equal_values_is_that_value(value: float, count: int) -> None:
    assert mean([value] * count) == value
