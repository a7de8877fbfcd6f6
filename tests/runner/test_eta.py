"""The time that is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.runner.eta import TimeLeft, spoken


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_guesses_are_corrected_by_what_was_seen_of_their_kind() -> None:
    clock = Clock()
    left = TimeLeft([("a", 10.0), ("b", 10.0), ("a", 20.0), ("c", 1.0)], clock)
    assert left.seconds() == 41
    left.begin()
    clock.now_s += 20
    left.end()  # a took twice as long as was guessed; of b and c nothing else is known
    assert left.seconds() == 2 * (10 + 20 + 1)
    left.begin()
    clock.now_s += 5
    left.end()
    assert left.seconds() == pytest.approx(2 * 20 + 1 * 25 / 20)


@given(guesses=st.lists(st.floats(0.1, 1e4), min_size=1, max_size=20), factor=st.floats(0.1, 10))
def test_a_machine_that_is_so_many_times_slower_is_soon_known(guesses: list[float], factor: float) -> None:
    clock = Clock()
    left = TimeLeft([("a", guess) for guess in guesses], clock)
    for at, guess in enumerate(guesses):
        left.begin()
        clock.now_s += factor * guess
        left.end()
        assert left.seconds() == pytest.approx(factor * sum(guesses[at + 1 :]))
    assert left.seconds() == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (89.4, "89 s"), (90, "2 min"), (719, "12 min"), (7200, "2 h 0 min"), (12_000, "3 h 20 min")],
)
def test_times_are_spoken(seconds: float, text: str) -> None:
    assert spoken(seconds) == text
