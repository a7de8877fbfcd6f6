"""The event loop."""

from __future__ import annotations

import os
import select
import socket
from time import monotonic_ns

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.retrieval.reactor import Lateness, Reactor

MS = 1_000_000


def test_timers_run_in_the_order_of_their_time_and_never_early() -> None:
    ran: list[tuple[int, int]] = []
    with Reactor() as reactor:
        base_ns = monotonic_ns()
        for delay_ms in (7, 1, 3, 0, 2):
            due_ns = base_ns + delay_ms * MS + delay_ms * 100_000
            reactor.call_at(due_ns, lambda due_ns=due_ns: ran.append((due_ns, monotonic_ns())))
        reactor.call_at(base_ns + 9 * MS, reactor.stop)
        reactor.run()
    assert [due_ns for due_ns, _ in ran] == sorted(due_ns for due_ns, _ in ran)
    assert len(ran) == 5
    assert all(at_ns >= due_ns for due_ns, at_ns in ran)


def test_a_cancelled_timer_does_not_run_and_counts_as_no_lateness() -> None:
    ran: list[str] = []
    with Reactor() as reactor:
        now_ns = monotonic_ns()
        first = reactor.call_at(now_ns, lambda: second.cancel())
        second = reactor.call_at(now_ns + 1, lambda: ran.append("second"))
        reactor.call_at(now_ns + 2, reactor.stop)
        reactor.run()
        first.cancel()
        assert reactor.lateness.count == 2
    assert ran == []


def test_lateness_is_that_of_the_timers() -> None:
    with Reactor() as reactor:
        reactor.call_at(monotonic_ns() - 50 * MS, reactor.stop)
        reactor.run()
        assert 50 * MS <= reactor.lateness.max_ns == reactor.lateness.quantile_ns(0.99)


def test_callbacks_that_always_come_back_starve_neither_timers_nor_sockets() -> None:
    left, right = socket.socketpair()
    heard: list[bytes] = []
    with left, right, Reactor() as reactor:

        def again() -> None:
            reactor.call_soon(again)

        def read(_: int) -> None:
            heard.append(left.recv(10))
            reactor.stop()

        again()
        reactor.register(left.fileno(), select.EPOLLIN, read)
        reactor.call_at(monotonic_ns() + MS, lambda: right.send(b"hello") and None)
        reactor.run()
    assert heard == [b"hello"]


def test_an_event_of_a_closed_descriptor_does_not_reach_the_next_owner_of_its_number() -> None:
    """Both pipes are ready in one batch; the handler of the first closes the second, whose number is taken again."""
    events: list[str] = []
    with Reactor() as reactor:
        pipes = [os.pipe(), os.pipe()]
        numbers = {read_fd for read_fd, _ in pipes}
        taken: list[int] = []

        def ready(own_fd: int) -> None:
            (other_fd,) = numbers - {own_fd}
            events.append("first")
            reactor.unregister(own_fd)
            reactor.forget(other_fd)
            os.close(other_fd)
            new_read_fd, new_write_fd = os.pipe()
            taken.extend((new_read_fd, new_write_fd))
            assert new_read_fd == other_fd
            reactor.register(new_read_fd, select.EPOLLIN, lambda _: events.append("stranger"))
            reactor.call_soon(reactor.stop)

        for read_fd, write_fd in pipes:
            os.write(write_fd, b"x")
            reactor.register(read_fd, select.EPOLLIN, lambda _, read_fd=read_fd: ready(read_fd))
        reactor.run()
        for fd in {*taken, *(fd for pipe in pipes for fd in pipe)}:
            os.close(fd)
    assert events == ["first"]


def test_what_a_handler_raises_reaches_the_caller_of_run() -> None:
    def fail() -> None:
        raise KeyError("from a handler")

    with Reactor() as reactor:
        reactor.call_soon(fail)
        with pytest.raises(KeyError, match="from a handler"):
            reactor.run()


@given(st.lists(st.integers(0, 2**62), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_at_most_an_eighth_above_the_exact_one(lags_ns: list[int], share: float) -> None:
    lateness = Lateness()
    for lag_ns in lags_ns:
        lateness.add(lag_ns)
    ordered = sorted(lags_ns)
    exact_ns = next(lag for number, lag in enumerate(ordered, 1) if number >= share * len(ordered))
    assert exact_ns <= lateness.quantile_ns(share) <= exact_ns * 9 / 8 + 1
    assert lateness.quantile_ns(1.0) == lateness.max_ns == ordered[-1]
