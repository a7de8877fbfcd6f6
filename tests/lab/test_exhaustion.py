"""A machine that runs out of something is said to have done so; other errors keep their trace."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from hostemu.base.errors import HostError, RunError
from hostemu.lab import call_in_lab
from tests.lab.needs import needs_lab

pytestmark = needs_lab


def run_out(number: int | None, _emit: Any) -> None:
    """Raise the error of this number; None: MemoryError."""
    if number is None:
        raise MemoryError
    raise OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("number", "what"),
    [(None, "memory"), (errno.ENOMEM, "memory"), (errno.EMFILE, "open files"), (errno.ENOSPC, "space")],
)
def test_what_the_machine_has_run_out_of_is_named(number: int | None, what: str) -> None:
    with pytest.raises(HostError, match=f"run out of {what}") as caught:
        call_in_lab("tests.lab.test_exhaustion:run_out", number)
    assert caught.value.hint


def test_another_error_of_the_system_is_told_with_its_trace() -> None:
    with pytest.raises(RunError, match="unexpected FileNotFoundError") as caught:
        call_in_lab("tests.lab.test_exhaustion:run_out", errno.ENOENT)
    assert "Traceback" in (caught.value.found or "")
