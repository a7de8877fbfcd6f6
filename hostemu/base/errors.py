"""The error tree.  Every error says what was expected, what was found, and what to do.

HostemuError                 exit code 1
├── InputError               exit code 2: a file, key, value or option is wrong
│   └── ScenarioError        names file, key and value
├── HostError                exit code 3: this machine cannot do what was asked
└── RunError                 exit code 1: a run was started and failed
    ├── GuestError           a guest died or did not get ready
    │   └── CommandFailed    the guest lives, but a command in it failed
    ├── RecordError          a result file is unreadable, incomplete or of another schema
    └── DeadlineExceeded     something did not happen in time
"""

from __future__ import annotations

from pathlib import Path


class HostemuError(Exception):
    """Base of all errors that hostemu raises on purpose.

    message: what went wrong, one sentence.
    expected, found: the two sides of the disagreement, when there are two.
    hint: what the user can do about it.
    log: a file with more.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
        log: Path | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.found = found
        self.hint = hint
        self.log = log

    def __str__(self) -> str:
        rows = [self.message]
        labels = (("expected", self.expected), ("found", self.found), ("to do", self.hint), ("log", self.log))
        rows += [f"  {label}: {value}" for label, value in labels if value is not None]
        return "\n".join(rows)


class InputError(HostemuError):
    """A file, key, value or option given by the user is wrong."""

    exit_code = 2


class ScenarioError(InputError):
    """A scenario file (or an override of it) is wrong; the message names file, key and value."""


class HostError(HostemuError):
    """This machine cannot do what was asked; the hint says what is missing and how to get it."""

    exit_code = 3


class RunError(HostemuError):
    """A run was started and failed."""


class GuestError(RunError):
    """A guest died or did not become ready."""


class CommandFailed(GuestError):
    """A command in a living guest failed."""


class RecordError(RunError):
    """A result file is unreadable, incomplete or of another schema version."""


class DeadlineExceeded(RunError):
    """Something did not happen in the time that it was given."""
