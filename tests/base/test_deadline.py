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


def test_waiting_for_what_never_comes_ends_at_the_deadline() -> None:
    deadline = Deadline.after(0.02, "what never comes")
    with pytest.raises(DeadlineExceeded):
        deadline.wait_until(lambda: False, poll_s=60.0)
    assert time.monotonic_ns() >= deadline.at_ns


def test_the_condition_is_asked_a_last_time_after_the_last_pause() -> None:
    """What came true during the pause counts, although the moment has passed."""
    deadline = Deadline.after(0.01, "the last look")
    deadline.wait_until(lambda: deadline.left_s() == 0.0, poll_s=60.0)
    assert deadline.left_s() == 0.0


def test_errors_of_the_condition_come_through() -> None:
    def broken() -> bool:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        FAR.wait_until(broken)
