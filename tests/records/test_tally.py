"""Tallies say of many terminals what their rows would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.protocol.reasons import Outcome
from hostemu.records import CLASS_BITS, CLASSES, TALLY, TERMINAL, TIMES, RunRecord, summary, times_of
from hostemu.records.tally import class_bounds, class_quantiles, tally_of
from tests.records.strategies import tables

LOWS = [class_bounds(number)[0] for number in range(50_000)]


@given(st.integers(0, CLASSES - 2))
def test_classes_follow_each_other_and_are_narrow(number: int) -> None:
    low, high = class_bounds(number)
    assert class_bounds(number + 1)[0] == high
    assert high - low <= max(1, low >> CLASS_BITS)


def test_the_last_class_ends_where_64_bit_times_do() -> None:
    assert class_bounds(0)[0] == 0
    assert class_bounds(CLASSES - 1)[1] == 2**63


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=300), st.floats(0, 1))
def test_a_quantile_of_classes_is_that_of_the_values(values: list[int], share: float) -> None:
    counts = np.zeros(CLASSES, np.int64)
    for value in values:
        counts[int(np.searchsorted(LOWS, value, side="right")) - 1] += 1
    (found,) = class_quantiles(times_of(counts), [share])
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert found == pytest.approx(exact, rel=2.0**-CLASS_BITS, abs=0.5)


@given(tables(TERMINAL))
def test_a_tally_adds_up_to_its_rows(terminals: np.ndarray) -> None:  # type: ignore[type-arg]
    tally = tally_of(terminals)
    assert tally["terminals"].sum() == len(terminals)
    assert tally["attempts"].sum() == terminals["attempts"].sum()
    assert tally["attempts_max"].max(initial=0) == terminals["attempts"].max(initial=0)
    for row in tally:
        same = (terminals["outcome"] == row["outcome"]) & (terminals["reason"] == row["reason"])
        assert row["terminals"] == same.sum()


def test_a_record_with_a_tally_is_summed_up_like_one_with_rows() -> None:
    tally = np.array([(Outcome.RETRIEVED, 0, 90, 180, 7), (Outcome.FAILED, 1, 10, 600, 60)], TALLY)
    times = np.array([(1_000_000_000, 1_000_000_001, 45), (2_000_000_000, 2_000_000_001, 45)], TIMES)
    record = RunRecord("simulated", "simulated", "fleet", "s", "", 1, tally=tally, times=times)
    found = summary(record)
    assert (found["terminals"], found["retrieved"], found["failed"]) == (100, 90, {"refused": 10})
    assert found["attempts"] == {"mean": 7.8, "max": 60}
    assert found["time_to_retrieve_s"] == {"p50": 1.0, "p90": 2.0, "p99": 2.0, "max": 2.0}
