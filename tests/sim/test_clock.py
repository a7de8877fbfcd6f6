"""Calls and timers on SimPy's queue."""

from __future__ import annotations

import io

from hostemu.sim.clock import Clock, Timer


def test_calls_of_one_moment_run_in_the_order_in_which_they_were_made() -> None:
    clock = Clock()
    seen: list[tuple[int, str]] = []
    for at_ns, name in ((5, "a"), (3, "b"), (5, "c"), (3, "d")):
        clock.at(at_ns, lambda n: seen.append((clock.now_ns, n)), name)
    clock.env.run()
    assert seen == [(3, "b"), (3, "d"), (5, "a"), (5, "c")]


def test_a_cancelled_call_is_not_made() -> None:
    clock = Clock()
    seen: list[int] = []
    clock.at(1, seen.append, 1).cancel()
    clock.at(2, seen.append, 2)
    clock.env.run()
    assert seen == [2]


def test_time_is_an_integer() -> None:
    clock = Clock()
    clock.at(2**62, lambda: None)
    clock.env.run()
    assert (type(clock.now_ns), clock.now_ns) == (int, 2**62)


def test_a_timer_fires_once_at_the_moment_set_last() -> None:
    for moments, fires in (([5], [5]), ([5, 9], [9]), ([9, 5], [5]), ([9, 5, 7], [7]), ([5, 9, 6], [6])):
        clock = Clock()
        seen: list[int] = []
        timer = Timer(clock, lambda clock=clock, seen=seen: seen.append(clock.now_ns))  # type: ignore[misc]
        for at_ns in moments:
            timer.set(at_ns)
        clock.env.run()
        assert seen == fires


def test_a_cleared_timer_does_not_fire_and_can_be_set_again() -> None:
    clock = Clock()
    seen: list[int] = []
    timer = Timer(clock, lambda: seen.append(clock.now_ns))
    timer.set(5)
    timer.clear()
    assert not timer.is_set
    clock.env.run()
    assert seen == []
    timer.set(8)
    clock.env.run()
    assert seen == [8]


def test_a_timer_that_is_set_again_while_it_fires_fires_again() -> None:
    clock = Clock()
    seen: list[int] = []

    def fire() -> None:
        seen.append(clock.now_ns)
        if len(seen) < 3:
            timer.set(clock.now_ns + 10)

    timer = Timer(clock, fire)
    timer.set(1)
    clock.env.run()
    assert seen == [1, 11, 21]


def test_a_note_is_one_line_with_time_place_and_event() -> None:
    trace = io.StringIO()
    clock = Clock(trace)
    clock.at(7, clock.note, "center", "finished")
    clock.env.run()
    assert trace.getvalue() == "7 center finished\n"
