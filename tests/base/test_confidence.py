"""Student's distribution, against printed tables."""

from __future__ import annotations

import math

import pytest

from hostemu.base.confidence import student


@pytest.mark.parametrize(
    ("freedom", "printed"), [(1, 12.706), (2, 4.303), (9, 2.262), (30, 2.042), (1e6, 1.960), (math.inf, 1.960)]
)
def test_intervals_are_as_wide_as_tables_say(freedom: float, printed: float) -> None:
    assert student(freedom) == pytest.approx(printed, abs=5e-4)


@pytest.mark.parametrize("freedom", [0, -1])
def test_what_leaves_nothing_over_has_no_end(freedom: float) -> None:
    assert student(freedom) == math.inf
