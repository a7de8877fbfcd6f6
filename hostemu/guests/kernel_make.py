"""Runs make on a kernel source: its lines become progress, its errors ours, and it does not outlive us for long."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from hostemu.base.errors import HostError
from hostemu.guests.kernel_source import NO_SPACE, disk_full
from hostemu.lab.kernel import die_with_parent

Progress = Callable[[int, int], None]
"""Called with (steps done, steps in all): never falls, and ends with done = all."""

TAIL_LINES = 5
WATCH = 'trap "kill -KILL 0" TERM; "$@" & wait $!'
_STEP = re.compile(r"  [A-Z][A-Z0-9_.\[\]-]*\s+\S.*")
_TROUBLE = re.compile(r"error|No such file|undefined reference|Stop\.|\*\*\*|not found|killed", re.IGNORECASE)

EPOCH = "Thu Jan  1 00:00:00 UTC 1970"
"""The build time that kernels carry: the same source, configuration and compiler give the same kernel, bit by bit."""


class StepCounter:
    """Counts the steps that make prints against an expected number, and reports each."""

    def __init__(self, expected: int, report: Progress) -> None:
        self._expected, self._report = max(1, expected), report
        self._done = 0
        report(0, self._expected)

    def line(self, text: str) -> None:
        """One line of make's output.  The last step is kept back: only `finish` says that all is done."""
        if _STEP.fullmatch(text) and self._done < self._expected - 1:
            self._done += 1
            self._report(self._done, self._expected)

    def finish(self) -> None:
        """All is done, whatever number of lines that took."""
        self._report(self._expected, self._expected)


def environment() -> dict[str, str]:
    """What make is to see: nothing of the user's that changes the kernel (ARCH, KCFLAGS, MAKEFLAGS …)."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    stamp = {"KBUILD_BUILD_TIMESTAMP": EPOCH, "KBUILD_BUILD_USER": "hostemu", "KBUILD_BUILD_HOST": "hostemu"}
    return {"PATH": os.defpath, **kept, **stamp, "LC_ALL": "C"}


def run_make(arguments: Sequence[str], log: Path, held: int, on_line: Callable[[str], None] = lambda _: None) -> None:
    """Run make; everything that it says is appended to `log`, line by line to `on_line`.

    held: a descriptor that make and its children inherit, so that a lock on it lasts as long as any of them.
    HostError: it failed, or the disk is full.
    """
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    trouble: deque[str] = deque(maxlen=TAIL_LINES)
    full = False
    with log.open("a", buffering=1) as copy, _make(arguments, held) as process:
        for line in _lines(process):
            copy.write(f"{line}\n")
            on_line(line)
            tail.append(line.strip())
            full = full or NO_SPACE in line
            if _TROUBLE.search(line):
                trouble.append(line.strip())
        status = process.wait()
    if full:
        raise disk_full(log.parent)
    if status:
        raise HostError(
            "the kernel cannot be built", found=" | ".join(trouble or tail) or f"status {status}", log=log
        )


def _lines(process: subprocess.Popen[str]) -> Iterator[str]:
    if process.stdout is None:
        raise ValueError("make was started without a pipe")
    for line in process.stdout:
        yield line.rstrip("\n")


@contextmanager
def _make(arguments: Sequence[str], held: int) -> Iterator[subprocess.Popen[str]]:
    """make, in a process group of its own that is killed when the block fails.

    When this process is killed, the kernel sends SIGTERM to the shell that watches make, and it kills the group.
    """
    process = subprocess.Popen(
        ["sh", "-c", WATCH, "sh", "make", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment(),
        pass_fds=(held,),
        start_new_session=True,
        preexec_fn=partial(die_with_parent, os.getpid(), signal.SIGTERM),
    )
    with process:
        try:
            yield process
        except BaseException:
            if process.returncode is None:  # not reaped, so that the number is still its own
                os.killpg(process.pid, signal.SIGKILL)
            raise
