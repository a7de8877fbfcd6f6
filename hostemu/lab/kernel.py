"""System calls that the standard library of Python 3.11 lacks."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import sys

# linux/sched.h
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

# sys/mount.h
MS_NOSUID, MS_NODEV, MS_NOEXEC = 2, 4, 8
MS_BIND = 4096
MS_REC = 16384
MS_PRIVATE = 1 << 18

_PR_SET_PDEATHSIG = 1  # linux/prctl.h

_KCMP = {"x86_64": 312, "aarch64": 272}
_KCMP_VM = 1  # linux/kcmp.h

AUDIT_EVENT = "hostemu.kernel"
"""Told to audit hooks, with the name of the call, before one that takes privileges."""

NETWORK_AUDIT_EVENT = "hostemu.network"
"""Told to audit hooks, with their number, before interfaces, addresses, routes … are set: each an `ip` command."""

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """unshare(2): new namespaces for this thread (NEWPID: for its next children)."""
    sys.audit(AUDIT_EVENT, "unshare")
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def setns(fd: int, kind: int) -> None:
    """setns(2): this thread goes into the namespace behind `fd`."""
    sys.audit(AUDIT_EVENT, "setns")
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kind)), "setns")


def mount(source: str, target: str, kind: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    sys.audit(AUDIT_EVENT, "mount")
    arguments = (source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), data.encode())
    _check(_libc.mount(*arguments), f"mount {kind or source} on {target}")


def die_with_parent(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when process `parent` ends; exit at once if it has ended already."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, number, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        os._exit(128 + number)


def same_memory(pid: int, other: int) -> bool:
    """kcmp(2): whether two processes share one address space.  OSError when the kernel does not tell."""
    number = _KCMP.get(platform.machine())
    if number is None:
        raise OSError(errno.ENOSYS, f"kcmp: its number on {platform.machine()} is not known")
    result = int(_libc.syscall(ctypes.c_long(number), pid, other, _KCMP_VM, 0, 0))
    _check(result, "kcmp")
    return result == 0
