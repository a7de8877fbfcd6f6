"""A task that may hang, in a thread that does not keep the process from ending."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

from hostemu.base.deadline import Deadline
from hostemu.base.errors import DeadlineExceeded

T = TypeVar("T")


class Background(Generic[T]):
    """Begins to do `task` at once."""

    def __init__(self, task: Callable[[], T]) -> None:
        self._task = task
        self._future: Future[T] = Future()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        try:
            self._future.set_result(self._task())
        except BaseException as error:
            self._future.set_exception(error)

    def result(self, deadline: Deadline) -> T:
        """What the task returned, or raises what it raised; DeadlineExceeded when it is not done in time."""
        try:
            self._future.exception(deadline.left_s())
        except TimeoutError as error:
            raise DeadlineExceeded(f"gave up waiting for {deadline.what}") from error
        return self._future.result()
