from __future__ import annotations

import time

import pytest

from hostemu.base.deadline import Deadline
from hostemu.base.errors import DeadlineExceeded

PAST = Deadline(0, "the tide")
FAR = Deadline(time.monotonic_ns() + 10**15, "the tide")


def test_a_deadline_lies_the_given_seconds_ahead() -> None:
    before_ns = time.monotonic_ns()
    deadline = Deadline.after(2.5, "the tide")
    after_ns = time.monotonic_ns()
    assert before_ns + 2_500_000_000 <= deadline.at_ns <= after_ns + 2_500_000_000


def test_the_time_left_is_never_negative() -> None:
    assert PAST.left_s() == 0.0
    assert FAR.left_s() > 0.0


def test_check_passes_before_the_moment() -> None:
    FAR.check()
    assert FAR.left_s() > 0.0


def test_check_after_the_moment_says_what_was_waited_for() -> None:
    with pytest.raises(DeadlineExceeded, match="the tide"):
        PAST.check()


def test_a_condition_that_holds_is_enough_even_after_the_moment() -> None:
    answers = iter([True])
    PAST.wait_until(lambda: next(answers))
    assert next(answers, None) is None


def test_a_condition_that_does_not_hold_is_given_up_at_the_moment() -> None:
    with pytest.raises(DeadlineExceeded, match="the tide"):
        PAST.wait_until(lambda: False)


def test_the_condition_is_asked_again_until_it_holds() -> None:
    answers = iter([False, False, False, True])
    FAR.wait_until(lambda: next(answers), poll_s=0.0)
    assert next(answers, None) is None


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now_ns = 0
        self.slept_s: list[float] = []

    def monotonic_ns(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that deadlines go by in this test."""
    clock = Clock()
    monkeypatch.setattr("hostemu.base.deadline.time", clock)
    return clock


def test_the_moment_itself_is_too_late(clock: Clock) -> None:
    with pytest.raises(DeadlineExceeded):
        Deadline(0, "the tide").check()
    Deadline(1, "the tide").check()
    assert Deadline(3_000_000_000, "the tide").left_s() == 3.0


def test_between_two_looks_there_is_a_pause(clock: Clock) -> None:
    Deadline.after(60.0, "the tide").wait_until(lambda: clock.now_ns >= 30_000_000, poll_s=0.01)
    assert clock.slept_s == [0.01, 0.01, 0.01]


def test_the_last_pause_ends_just_after_the_deadline_however_long_the_others_are(clock: Clock) -> None:
    with pytest.raises(DeadlineExceeded):
        Deadline.after(1.0, "what never comes").wait_until(lambda: False, poll_s=60.0)
    assert 1.0 < clock.now_ns / 1e9 < 1.001
    assert len(clock.slept_s) == 1


def test_the_condition_is_asked_a_last_time_after_the_last_pause(clock: Clock) -> None:
    """What came true during the pause counts, although the moment has passed."""
    deadline = Deadline.after(1.0, "the last look")
    deadline.wait_until(lambda: clock.now_ns > deadline.at_ns, poll_s=60.0)
    assert deadline.left_s() == 0.0


def test_errors_of_the_condition_come_through() -> None:
    def broken() -> bool:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        FAR.wait_until(broken)
