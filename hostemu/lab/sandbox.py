"""Calling a function in a new lab, from outside."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from hostemu.base import errors
from hostemu.base.errors import DeadlineExceeded, HostemuError, HostError, RunError

GRACE_S = 10.0
"""What a lab that was told to end may take to give everything back before it is killed."""

OnEvent = Callable[[dict[str, Any]], None]


def call_in_lab(
    target: str,
    argument: Any,
    *,
    on_event: OnEvent | None = None,
    timeout_s: float | None = None,
    grace_s: float = GRACE_S,
) -> Any:
    """Call `target` ("module:function") with (argument, emit) in a new lab; returns what it returns.

    Argument, result and what is given to emit are JSON.  Errors of our tree come out as themselves; RunError when the
    function raised anything else or the lab was killed; DeadlineExceeded after `timeout_s`; HostError when no lab can
    be made.  Nothing of the lab is left when this returns or raises, for which it has `grace_s` before it is killed.
    """
    deadline_s = None if timeout_s is None else time.monotonic() + timeout_s
    order = json.dumps({"target": target, "argument": argument}).encode()
    with _lab(order, grace_s) as (entry, report_fd):
        for message in _messages(report_fd, deadline_s):
            if "event" in message:
                if on_event is not None:
                    on_event(message["event"])
            elif "result" in message:
                return message["result"]
            else:
                raise revived(message["error"])
        raise _broken(entry.wait())


@contextmanager
def _lab(order: bytes, grace_s: float) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The entry process and the pipe that the worker reports on; ends the lab on the way out."""
    with ExitStack() as stack:
        report_fd, report_write_fd = os.pipe()
        stack.callback(os.close, report_fd)
        lifeline_fd, lifeline_write_fd = os.pipe()
        cut = stack.enter_context(ExitStack())
        cut.callback(os.close, lifeline_write_fd)
        try:
            entry = _start_entry(lifeline_fd, report_write_fd)
        finally:
            os.close(report_write_fd)
            os.close(lifeline_fd)
        stack.callback(_end, entry, report_fd, grace_s)
        if entry.stdin is not None:
            with suppress(BrokenPipeError), entry.stdin:
                entry.stdin.write(order)
        yield entry, report_fd


def _start_entry(lifeline_fd: int, report_fd: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "hostemu.lab.enter", str(os.getpid()), str(lifeline_fd), str(report_fd)]
    path = os.pathsep.join([str(Path(errors.__file__).parents[2]), *sys.path[1:]])
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        pass_fds=(lifeline_fd, report_fd),
        start_new_session=True,  # Ctrl-C is for the process outside, which ends the lab in order
        env={**os.environ, "PYTHONPATH": path},
    )


def _end(entry: subprocess.Popen[bytes], report_fd: int, grace_s: float) -> None:
    """Tell the lab to end, kill it if it does not, and see that the last of it is gone."""
    if entry.poll() is None:
        entry.terminate()
        try:
            entry.wait(grace_s)
        except subprocess.TimeoutExpired:
            entry.kill()
    entry.wait()
    while os.read(report_fd, 1 << 16):
        pass  # the worker holds the other end until it is dead


def _messages(report_fd: int, deadline_s: float | None) -> Iterator[dict[str, Any]]:
    """What the worker says, until it has nothing more to say."""
    partial = b""
    poller = select.poll()
    poller.register(report_fd, select.POLLIN)
    while True:
        left_s = None if deadline_s is None else deadline_s - time.monotonic()
        if left_s is not None and (left_s <= 0 or not poller.poll(left_s * 1000)):
            raise DeadlineExceeded("the lab did not finish in the time that it was given")
        data = os.read(report_fd, 1 << 16)
        if not data:
            return
        *lines, partial = (partial + data).split(b"\n")
        yield from map(json.loads, lines)


def revived(error: dict[str, Any]) -> HostemuError:
    """An error that was raised in the lab."""
    kind: type[HostemuError] = getattr(errors, error["type"])
    log = error.get("log")
    return kind(
        error["message"],
        expected=error.get("expected"),
        found=error.get("found"),
        hint=error.get("hint"),
        log=None if log is None else Path(log),
    )


def _broken(status: int) -> HostemuError:
    if status < 0 or status > 128:
        number = -status if status < 0 else status - 128
        return RunError("the lab was killed", expected="an end of its own", found=f"signal {number}")
    return HostError(
        "this machine does not let a lab be made",
        found=f"exit status {status} before anything was started; see standard error",
        hint="run `hostemu doctor`",
    )


def lab_possible() -> tuple[bool, str, str]:
    """Whether a lab can be made here, found by making one; the reason and what to do if not."""
    program = "from hostemu.lab.enter import make_namespaces; make_namespaces()"
    path = os.pathsep.join([str(Path(errors.__file__).parents[2]), *sys.path[1:]])
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    if done.returncode == 0:
        return True, "as root" if os.geteuid() == 0 else "as an ordinary user, in a user namespace", ""
    reason = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit status {done.returncode}"
    return False, reason, _namespace_fix()


def _namespace_fix() -> str:
    """What usually forbids user namespaces, and how it is allowed."""
    knobs = (
        ("/proc/sys/user/max_user_namespaces", "0", "sysctl -w user.max_user_namespaces=10000"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
        (
            "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0",
        ),
    )
    for path, bad, fix in knobs:
        with suppress(OSError):
            if Path(path).read_text().strip() == bad:
                return f"as root: {fix}"
    return "run as root, or allow user namespaces"
