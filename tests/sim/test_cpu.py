"""Threads that share cores."""

from __future__ import annotations

from simpy import Resource

from hostemu.sim.clock import Clock
from hostemu.sim.cpu import SLICE_NS, Thread

Seen = list[tuple[str, int]]


def _threads(number: int, cores: int) -> tuple[Clock, list[Thread], Seen]:
    clock = Clock()
    resource = Resource(clock.env, capacity=cores)
    threads = [Thread(clock, resource) for _ in range(number)]
    clock.env.run(1)  # the threads have gone to sleep
    return clock, threads, []


def _do(clock: Clock, thread: Thread, cost_ns: int, name: str, seen: Seen) -> None:
    thread.do(cost_ns, lambda: seen.append((name, clock.now_ns - 1)))


def test_a_thread_does_one_thing_after_the_other() -> None:
    clock, (thread,), seen = _threads(1, 4)
    _do(clock, thread, 100, "a", seen)
    _do(clock, thread, 50, "b", seen)
    clock.env.run()
    assert seen == [("a", 100), ("b", 150)]
    assert thread.busy_ns == 150


def test_free_work_waits_behind_work_that_came_before_it() -> None:
    clock, (thread,), seen = _threads(1, 1)
    _do(clock, thread, 100, "a", seen)
    _do(clock, thread, 0, "b", seen)
    clock.env.run()
    _do(clock, thread, 0, "c", seen)
    assert seen == [("a", 100), ("b", 100), ("c", 100)]


def test_threads_run_at_once_on_as_many_cores_as_there_are() -> None:
    clock, threads, seen = _threads(3, 2)
    for thread, name in zip(threads, "abc", strict=True):
        _do(clock, thread, 100, name, seen)
    clock.env.run()
    assert seen == [("a", 100), ("b", 100), ("c", 200)]


def test_a_thread_gives_its_core_to_the_next_one_after_its_slice() -> None:
    clock, (greedy, modest), seen = _threads(2, 1)
    for index in range(4):
        _do(clock, greedy, SLICE_NS // 2, f"greedy {index}", seen)
    _do(clock, modest, 10, "modest", seen)
    clock.env.run()
    assert [name for name, _ in seen] == ["greedy 0", "greedy 1", "modest", "greedy 2", "greedy 3"]
    assert seen[-1][1] == 2 * SLICE_NS + 10


def test_without_cores_work_takes_no_time_and_is_done_at_once() -> None:
    clock, seen = Clock(), []
    Thread(clock, None).do(10**9, seen.append, "done")
    assert (seen, clock.now_ns) == (["done"], 0)
