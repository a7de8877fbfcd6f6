"""Tasks that may hang."""

from __future__ import annotations

import subprocess
import sys
import threading
import time

import pytest

from hostemu.base.background import Background
from hostemu.base.deadline import Deadline
from hostemu.base.errors import DeadlineExceeded, HostError


def soon() -> Deadline:
    return Deadline.after(20, "a task")


def test_what_the_task_returns_comes_out_as_often_as_it_is_asked_for() -> None:
    task = Background(lambda: [1, 2])
    assert task.result(soon()) == [1, 2]
    assert task.result(Deadline.after(0, "a task")) == [1, 2]


@pytest.mark.parametrize("error", [HostError("no"), DeadlineExceeded("its own"), TimeoutError("its own"), KeyError()])
def test_what_the_task_raises_comes_out(error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        Background(fail).result(soon())
    assert caught.value is error


def test_tasks_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3)
    tasks = [Background(lambda: meeting.wait(20)) for _ in range(3)]
    assert sorted(task.result(soon()) for task in tasks) == [0, 1, 2]


def test_a_task_that_hangs_is_given_up_and_may_still_answer_later() -> None:
    gate = threading.Event()
    task = Background(lambda: gate.wait(20))
    start_s = time.monotonic()
    with pytest.raises(DeadlineExceeded, match="a slow task"):
        task.result(Deadline.after(0.05, "a slow task"))
    assert time.monotonic() - start_s < 5
    gate.set()
    assert task.result(soon()) is True


def test_a_task_that_hangs_does_not_keep_the_process_from_ending() -> None:
    program = "import time; from hostemu.base.background import Background; Background(lambda: time.sleep(600))"
    assert subprocess.run([sys.executable, "-c", program], timeout=30, check=False).returncode == 0
