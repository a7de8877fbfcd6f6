from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from hostemu.base import errors
from hostemu.base.errors import (
    CommandFailed,
    DeadlineExceeded,
    GuestError,
    HostemuError,
    HostError,
    InputError,
    RecordError,
    RunError,
    ScenarioError,
)

ALL = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, HostemuError)]


def test_an_error_tells_message_expected_found_hint_and_log_in_that_order() -> None:
    error = HostemuError("it leaks", expected="dry", found="wet", hint="mop it", log=Path("leak.log"))
    assert str(error).splitlines() == [
        "it leaks",
        "  expected: dry",
        "  found: wet",
        "  to do: mop it",
        "  log: leak.log",
    ]


def test_an_error_leaves_out_what_it_does_not_know() -> None:
    assert str(HostemuError("it leaks")) == "it leaks"
    assert str(HostemuError("it leaks", found="wet")) == "it leaks\n  found: wet"
    assert str(HostemuError("it leaks", hint="")) == "it leaks\n  to do: "


def test_an_errors_parts_can_be_read() -> None:
    error = InputError("m", expected="e", found="f", hint="h", log=Path("l"))
    assert (error.message, error.expected, error.found, error.hint, error.log) == ("m", "e", "f", "h", Path("l"))


@pytest.mark.parametrize(
    ("kind", "exit_code"),
    [
        (HostemuError, 1),
        (InputError, 2),
        (ScenarioError, 2),
        (HostError, 3),
        (RunError, 1),
        (GuestError, 1),
        (CommandFailed, 1),
        (RecordError, 1),
        (DeadlineExceeded, 1),
    ],
)
def test_the_exit_code_says_whose_fault_it_is(kind: type[HostemuError], exit_code: int) -> None:
    assert kind("message").exit_code == exit_code


def test_the_tree_drawn_in_the_module_is_the_tree_of_the_classes() -> None:
    rows = (errors.__doc__ or "").splitlines()[2:]
    drawn = [found[1] for row in rows if (found := re.match(r"[│├└─ ]*(\w+)", row))]
    assert drawn == _names(HostemuError)


def _names(kind: type[HostemuError]) -> list[str]:
    """The class and, depth first, all below it, in order of definition; other packages' subclasses left out."""
    below = [sub for sub in kind.__subclasses__() if sub.__module__ == errors.__name__]
    return [kind.__name__, *(name for sub in below for name in _names(sub))]


@pytest.mark.parametrize("kind", ALL)
def test_every_error_can_be_caught_as_one_of_ours(kind: type[HostemuError]) -> None:
    with pytest.raises(HostemuError, match="found: rain"):
        raise kind("spoilt", found="rain")
