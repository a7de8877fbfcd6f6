"""The lab's first processes: `python -m hostemu.lab.enter PARENT LIFELINE REPORT`, run by `sandbox`.

entry process   makes the namespaces, waits for process 1; ends when the lifeline is cut
process 1       mounts /proc, /sys and /dev/shm, raises loopback, starts the worker, reaps whatever is orphaned
worker          calls the function that the order on standard input names
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from hostemu.lab import kernel
from hostemu.lab.mounts import mount_own
from hostemu.lab.rtnetlink import raise_loopback
from hostemu.lab.worker import work

NAMESPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWPID | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
)
HOST_CANNOT = 3
FORWARDED = (signal.SIGTERM, signal.SIGINT)


def main() -> NoReturn:
    """The entry process; ends with the worker's exit status."""
    parent, lifeline_fd, report_fd = map(int, sys.argv[1:4])
    kernel.die_with_parent(parent)
    order = sys.stdin.buffer.read()
    _close_stdin()
    try:
        make_namespaces()
    except OSError as error:
        sys.stderr.write(f"hostemu: {error}\n")
        os._exit(HOST_CANNOT)
    bond_fd, own_bond_fd = os.pipe()  # broken when this process ends
    first = _fork(lambda: _process_1((bond_fd, own_bond_fd, lifeline_fd), report_fd, order))
    os.close(report_fd)
    os.close(bond_fd)
    os._exit(_wait_for(first, lifeline_fd))


def make_namespaces() -> None:
    """Unshare everything; with a user namespace where this process may not do it otherwise."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        kernel.unshare(NAMESPACES)
    except OSError as error:
        if error.errno != errno.EPERM:
            raise
        kernel.unshare(NAMESPACES | kernel.CLONE_NEWUSER)
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"0 {uid} 1")
        _write("/proc/self/gid_map", f"0 {gid} 1")
    kernel.mount("none", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:  # noqa: PTH123  this process imports as little as it can
        file.write(text)


def _close_stdin() -> None:
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _fork(child: Callable[[], int]) -> int:
    """Fork; the child does `child` and ends with the status that it returns."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        status = child()
    finally:
        os._exit(status)


@contextmanager
def _forwarding(pid: int) -> Iterator[None]:
    """Hand SIGTERM and SIGINT on to another process meanwhile."""

    def forward(number: int, _frame: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in FORWARDED:
        signal.signal(number, forward)
    yield


def _wait_for(first: int, lifeline_fd: int) -> int:
    """Wait for process 1; kill it when nobody holds the other end of the lifeline any more."""
    pidfd = os.pidfd_open(first)
    poller = select.poll()
    poller.register(pidfd, select.POLLIN)
    poller.register(lifeline_fd, select.POLLIN)
    with _forwarding(first):
        ready = {fd for fd, _ in poller.poll()}
        if pidfd not in ready:
            os.kill(first, signal.SIGKILL)
        return _exit_status(os.waitpid(first, 0)[1])


def _exit_status(status: int) -> int:
    """As shells say it: 128 + number for a signal."""
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _process_1(fds: tuple[int, int, int], report_fd: int, order: bytes) -> int:
    bond_fd, entry_bond_fd, lifeline_fd = fds
    os.close(entry_bond_fd)
    os.close(lifeline_fd)
    kernel.die_with_parent(0)  # getppid() of a parent outside the process namespace is 0, dead or alive
    if _broken(bond_fd):
        return 128 + signal.SIGKILL
    os.close(bond_fd)
    mount_own()
    raise_loopback()
    worker = _fork(lambda: work(report_fd, order))
    os.close(report_fd)
    with _forwarding(worker):
        return _reap_until(worker)


def _broken(pipe_fd: int) -> bool:
    """Whether nobody holds the other end of a pipe any more."""
    poller = select.poll()
    poller.register(pipe_fd, select.POLLIN)
    return bool(poller.poll(0))


def _reap_until(worker: int) -> int:
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == worker:
            return _exit_status(status)


if __name__ == "__main__":
    main()
