"""One thread for the descriptors of all guests."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hostemu.base.deadline import Deadline
from hostemu.guests.switchboard import Switchboard, switchboard


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe whose ends do not block."""
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield ends
    for fd in ends:
        os.close(fd)


@contextmanager
def registered(fd: int, events: int, handler: Callable[[int], None]) -> Iterator[Switchboard]:
    """A descriptor on the switchboard."""
    board = switchboard()
    board.register(fd, events, handler)
    try:
        yield board
    finally:
        board.forget(fd)


def soon(condition: Callable[[], bool]) -> None:
    """Wait for what is to happen at once."""
    Deadline.after(10.0, "the switchboard").wait_until(condition)


def test_a_handler_is_called_in_another_thread_as_long_as_there_is_something(pipe: tuple[int, int]) -> None:
    got: list[bytes] = []
    threads: set[str] = set()

    def read(events: int) -> None:
        assert events == select.EPOLLIN
        threads.add(threading.current_thread().name)
        got.append(os.read(pipe[0], 1))

    with registered(pipe[0], select.EPOLLIN, read):
        os.write(pipe[1], b"abc")
        soon(lambda: len(got) == 3)
        os.write(pipe[1], b"d")
        soon(lambda: len(got) == 4)
    assert b"".join(got) == b"abcd"
    assert threads == {"switchboard"}


def test_a_forgotten_descriptor_is_left_alone_and_may_be_forgotten_again(pipe: tuple[int, int]) -> None:
    calls: list[int] = []
    with registered(pipe[1], select.EPOLLOUT | select.EPOLLONESHOT, calls.append) as board:
        soon(lambda: len(calls) == 1)
        board.modify(pipe[1], select.EPOLLOUT | select.EPOLLONESHOT)
        soon(lambda: len(calls) == 2)
        board.forget(pipe[1])
        board.forget(pipe[1])
        board.modify(pipe[1], select.EPOLLOUT)
    with registered(pipe[0], select.EPOLLIN, calls.append):
        pass
    assert calls == [select.EPOLLOUT] * 2


def test_a_handler_that_fails_says_so_and_the_others_go_on(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[threading.ExceptHookArgs] = []
    monkeypatch.setattr(threading, "excepthook", said.append)

    def fail(_events: int) -> None:
        raise ZeroDivisionError("by nothing")

    with registered(pipe[1], select.EPOLLOUT, fail):
        soon(lambda: len(said) == 1)
    assert said[0].exc_type is ZeroDivisionError
    calls: list[int] = []
    with registered(pipe[1], select.EPOLLOUT | select.EPOLLONESHOT, calls.append):
        soon(lambda: len(calls) == 1)
    assert len(said) == 1


def test_a_forked_child_has_a_switchboard_of_its_own() -> None:
    ours = switchboard()
    assert switchboard() is ours
    child = os.fork()
    if child == 0:
        os._exit(0 if switchboard() is not ours else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
