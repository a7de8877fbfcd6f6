"""Programs of this kernel that run inside a namespace, and what /proc says of them."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from hostemu.base.deadline import Deadline
from hostemu.guests.api import STOP_S, GuestProcess, ProcessUsage
from hostemu.lab import NetNamespace

NO_SUCH_PROGRAM = 127  # as shells say it
POLL_S = 1.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def environment(env: Mapping[str, str] | None) -> dict[str, str]:
    """This process' environment with additions.  Programs may write byte code, or each would compile it anew."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**inherited, **(env or {})}


class NamespaceProgram:
    """A program that is process 1 of its own process namespace.

    The kernel ends such a process only after all others of its namespace: when it is gone, its descendants are, too.
    Of the signals that it does not catch, only SIGKILL and SIGSTOP reach it.  Manual: pid_namespaces(7).
    """

    def __init__(
        self, namespace: NetNamespace, argv: Sequence[str], env: Mapping[str, str] | None, cwd: Path, **files: Any
    ) -> None:
        """Start it; files: stdin, stdout and stderr of subprocess.Popen.  OSError when there is no such program."""
        self._lock = threading.Lock()
        self._status: int | None = None
        self._final = ProcessUsage()
        self.popen = namespace.popen(argv, cwd=cwd, env=environment(env), start_new_session=True, **files)
        with ExitStack() as undo:
            undo.callback(self.end)
            self._pidfd = os.pidfd_open(self.popen.pid)
            self._pid = _number_in_proc(self._pidfd, self.popen.pid)
            undo.pop_all()

    def poll(self) -> int | None:
        """The exit status, 128 + number after a signal; None while it runs."""
        with self._lock:
            if self._status is None:
                self._reap(os.WNOHANG)
            return self._status

    def _reap(self, options: int) -> None:
        pid, status, used = os.wait4(self.popen.pid, options)
        if pid:
            code = self.popen.returncode = os.waitstatus_to_exitcode(status)
            self._status = code if code >= 0 else 128 - code
            self._final = ProcessUsage(used.ru_utime + used.ru_stime, 0, used.ru_maxrss * 1024)
            os.close(self._pidfd)

    def wait(self, deadline: Deadline) -> int:
        """The exit status, once it has ended; DeadlineExceeded."""
        poller = select.poll()
        poller.register(self._pidfd, select.POLLIN)
        while (status := self.poll()) is None:
            deadline.check()
            poller.poll(min(deadline.left_s(), POLL_S) * 1000 + 1)
        return status

    def terminate(self) -> None:
        """SIGTERM; where that cannot reach it, SIGKILL, since the signal would have ended it, too."""
        self._signal(signal.SIGTERM if self._heeds_sigterm() else signal.SIGKILL)

    def kill(self) -> None:
        """SIGKILL."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        with self._lock:
            if self._status is None:
                os.kill(self.popen.pid, number)  # not reaped, so that the number is still its own

    def end(self) -> None:
        """Kill it and wait until it is gone; harmless when it is."""
        with self._lock:
            if self._status is None:
                os.kill(self.popen.pid, signal.SIGKILL)  # popen.kill would reap one that has just ended
                self._reap(0)

    def _heeds_sigterm(self) -> bool:
        with suppress(OSError):
            status = _status(self._pid)
            return bool((int(status["SigCgt"], 16) | int(status["SigIgn"], 16)) >> (signal.SIGTERM - 1) & 1)
        return False

    def pids(self) -> list[int]:
        """The program and its descendants, by their numbers in /proc; empty when it has ended."""
        return [] if self.poll() is not None else [self._pid, *descendants(self._pid)]

    def usage(self) -> ProcessUsage:
        """What it and its descendants have used until now, or until its end."""
        pids = self.pids()
        return total(map(_usage, pids)) if pids else self._final


class NamespaceProcess(GuestProcess):
    """A program with pipes for its input and output."""

    def __init__(
        self, namespace: NetNamespace, argv: Sequence[str], env: Mapping[str, str] | None, log: Path | None, cwd: Path
    ) -> None:
        with ExitStack() as stack:
            error: IO[bytes] | int = subprocess.DEVNULL if log is None else stack.enter_context(log.open("wb"))
            self._program = NamespaceProgram(
                namespace, argv, env, cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=error
            )
        stdin, stdout = self._program.popen.stdin, self._program.popen.stdout
        if stdin is None or stdout is None:
            raise ValueError("a program was started without pipes")
        self.stdin, self.stdout = stdin, stdout

    def poll(self) -> int | None:
        return self._program.poll()

    def wait(self, deadline: Deadline) -> int:
        return self._program.wait(deadline)

    def terminate(self) -> None:
        self._program.terminate()

    def kill(self) -> None:
        self._program.kill()

    def usage(self) -> ProcessUsage:
        return self._program.usage()

    def pids(self) -> list[int]:
        """The program and its descendants, by their numbers in /proc."""
        return self._program.pids()

    def stop(self, grace_s: float = STOP_S) -> int:
        try:
            return super().stop(grace_s)
        finally:
            self._program.end()
            self.stdout.close()


def signal_all(pids: Callable[[], Iterable[int]], number: signal.Signals) -> None:
    """Send a signal to processes (numbers of /proc) until no new ones turn up."""
    told: set[int] = set()
    while new := set(pids()) - told:
        for pid in new:
            with suppress(OSError):
                os.kill(number_here(pid), number)
        told |= new


def descendants(pid: int) -> Iterator[int]:
    """The children of a process, their children, and so on; see proc_tid_children(5)."""
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, path.read_text().split()):
                yield child
                yield from descendants(child)


def total(items: Iterable[ProcessUsage]) -> ProcessUsage:
    """All of them together."""
    used = list(items)
    return ProcessUsage(
        cpu_s=sum(item.cpu_s for item in used),
        rss_bytes=sum(item.rss_bytes for item in used),
        maxrss_bytes=max((item.maxrss_bytes for item in used), default=0),
    )


def _usage(pid: int) -> ProcessUsage:
    """One process, with the CPU time of the children that it has waited for; see proc_pid_stat(5)."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        peak_kib = int(_status(pid).get("VmHWM", "0 kB").split()[0])
        return ProcessUsage(sum(map(int, fields[11:15])) / TICKS_PER_S, int(fields[21]) * PAGE_BYTES, peak_kib * 1024)
    return ProcessUsage()


def _status(pid: int | str) -> dict[str, str]:
    """The fields of /proc/PID/status; see proc_pid_status(5)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _number_in_proc(pidfd: int, pid: int) -> int:
    """A child's number in /proc, which is not ours where the lab could not mount a /proc of its own."""
    for line in Path(f"/proc/self/fdinfo/{pidfd}").read_text().splitlines():
        if line.startswith("Pid:") and int(line.split()[1]) > 0:
            return int(line.split()[1])
    return pid


def number_here(pid: int) -> int:
    """What this process must call the process that has the number `pid` in /proc; OSError when it is gone."""
    depth = len(_status("self")["NSpid"].split())
    return int(_status(pid)["NSpid"].split()[depth - 1])
