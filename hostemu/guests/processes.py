"""Programs of this kernel that run inside a namespace, and what /proc says of them."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO

from hostemu.base.deadline import Deadline
from hostemu.base.errors import DeadlineExceeded
from hostemu.guests.api import GuestProcess

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def command(ns_fd: int, argv: Sequence[str]) -> list[str]:
    """`argv` in the network namespace `ns_fd` and a process namespace of its own.

    `unshare` stays behind as the parent: when it is killed, the kernel kills the program (--kill-child), which as
    process 1 of its namespace takes all its descendants with it.
    """
    return [
        "nsenter",
        f"--net=/proc/self/fd/{ns_fd}",
        "--",
        "unshare",
        "--pid",
        "--fork",
        "--kill-child",
        "--",
        *argv,
    ]


def environment(env: Mapping[str, str] | None) -> dict[str, str]:
    """This process' environment with additions.  Programs may write byte code, or each would compile it anew."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **(env or {})}


class NamespaceProcess(GuestProcess):
    """A program started by `command`."""

    def __init__(
        self, ns_fd: int, argv: Sequence[str], env: Mapping[str, str] | None, log: Path | None, cwd: Path
    ) -> None:
        with ExitStack() as stack:
            error: IO[bytes] | int = subprocess.DEVNULL if log is None else stack.enter_context(log.open("wb"))
            self.popen = subprocess.Popen(
                command(ns_fd, argv),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=error,
                pass_fds=(ns_fd,),
                env=environment(env),
                cwd=cwd,
                start_new_session=True,
            )
        stdin, stdout = self.popen.stdin, self.popen.stdout
        if stdin is None or stdout is None:
            raise ValueError("a program was started without pipes")
        self.stdin, self.stdout = stdin, stdout

    def poll(self) -> int | None:
        status = self.popen.poll()
        return status if status is None or status >= 0 else 128 - status

    def wait(self, deadline: Deadline) -> int:
        try:
            self.popen.wait(deadline.left_s())
        except subprocess.TimeoutExpired:
            raise DeadlineExceeded(f"gave up waiting for {deadline.what}") from None
        return self.poll() or 0

    def terminate(self) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def kill(self) -> None:
        if self.popen.poll() is None:
            self.popen.kill()

    def stop(self, grace_s: float = 5.0) -> int:
        try:
            return super().stop(grace_s)
        finally:
            self.stdout.close()

    def pids(self) -> list[int]:
        """The program and its descendants, without the `unshare` in front of them."""
        return list(descendants(self.popen.pid)) if self.popen.poll() is None else []


def descendants(pid: int) -> Iterator[int]:
    """The children of a process, their children, and so on."""
    with suppress(OSError):
        for child in map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()):
            yield child
            yield from descendants(child)


def cpu_and_memory(pids: Sequence[int]) -> tuple[float, int]:
    """CPU seconds (with those of waited-for children) and resident bytes of living processes; see proc(5)."""
    ticks = pages = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
            pages += int(fields[21])
    return ticks / TICKS_PER_S, pages * PAGE_BYTES
