"""The lab's worker: calls one function and reports events, result or error as JSON lines."""

from __future__ import annotations

import errno
import importlib
import json
import os
import resource
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any

from hostemu.base.errors import HostemuError, HostError

Emit = Callable[[dict[str, Any]], None]


EXHAUSTION = {
    errno.ENOMEM: ("memory", "free some, raise limits (ulimit -v), or play a smaller fleet"),
    errno.EMFILE: ("open files", "raise the limit (ulimit -Hn), or play a smaller fleet"),
    errno.ENFILE: ("open files", "raise fs.file-max, or play a smaller fleet"),
    errno.ENOSPC: ("space", "free some disk space, or raise the kernel's limits on namespaces (user.max_*)"),
    errno.EAGAIN: ("processes", "raise the limit (ulimit -u), or play a smaller fleet"),
}
"""Errors by which a kernel says that there is no more of something: of what, and what to do."""


class Interrupted(BaseException):
    """The lab was told to end: everything is to be given back in order."""


class Reporter:
    """Writes messages to the process outside; a message is one line."""

    def __init__(self, fd: int) -> None:
        self._file = os.fdopen(fd, "w")
        self._lock = threading.Lock()

    def send(self, kind: str, value: Any) -> None:
        """One message; any thread may send."""
        with self._lock:
            self._file.write(json.dumps({kind: value}) + "\n")
            self._file.flush()


def work(report_fd: int, order: bytes) -> int:
    """Do what the order {"target": "module:function", "argument": …} says; returns the exit status."""
    os.set_inheritable(report_fd, False)
    reporter = Reporter(report_fd)
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGINT, _interrupt)
    _raise_file_limit()
    kind, value, status = _outcome(order, reporter)
    _ignore_interrupts()  # whoever has the outcome may end us at once
    reporter.send(kind, value)
    return status


def _outcome(order: bytes, reporter: Reporter) -> tuple[str, Any, int]:
    """Make the call; returns what is to be reported, and the exit status."""
    try:
        call = json.loads(order)
        result = find(call["target"])(call["argument"], lambda event: reporter.send("event", event))
        json.dumps(result)  # a result that is no JSON is an error like any other
        return "result", result, 0
    except HostemuError as error:
        return "error", as_json(error), error.exit_code
    except Interrupted:
        return "error", {"type": "RunError", "message": "the run was interrupted"}, 128 + signal.SIGTERM
    except (MemoryError, OSError) as error:
        if is_fault(error):
            return "error", _unexpected(error), 1
        return "error", as_json(exhausted(error)), HostError.exit_code
    except Exception as error:
        return "error", _unexpected(error), 1


def _unexpected(error: Exception) -> dict[str, str]:
    """An error that nobody foresaw, with where it came from."""
    message = f"unexpected {type(error).__name__}: {error}"
    return {"type": "RunError", "message": message, "found": traceback.format_exc().strip()}


def is_fault(error: MemoryError | OSError) -> bool:
    """Whether it is the program's fault, and not that of a machine that has run out of something."""
    return isinstance(error, OSError) and error.errno not in EXHAUSTION


def exhausted(error: MemoryError | OSError) -> HostError:
    """What the machine has run out of, and what to do."""
    what, hint = EXHAUSTION[errno.ENOMEM if isinstance(error, MemoryError) else error.errno or errno.ENOMEM]
    return HostError(f"this machine has run out of {what}", found=str(error) or "no memory", hint=hint)


def _interrupt(_number: int, _frame: object) -> None:
    _ignore_interrupts()  # a second request must not break into giving things back
    raise Interrupted


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _raise_file_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def find(target: str) -> Callable[[Any, Emit], Any]:
    """The function behind "module:function"."""
    module, _, name = target.partition(":")
    function: Callable[[Any, Emit], Any] = getattr(importlib.import_module(module), name)
    return function


def as_json(error: HostemuError) -> dict[str, str | None]:
    """An error of our tree as data."""
    return {
        "type": type(error).__name__,
        "message": error.message,
        "expected": error.expected,
        "found": error.found,
        "hint": error.hint,
        "log": None if error.log is None else str(error.log),
    }
