"""What this process does to bring a guest up, recorded while it does it: programs, files, settings, privileges.

Python tells audit hooks (PEP 578) of every program that is started, every file that is opened for writing, every
socket; hostemu.lab tells of what Python does not see: namespaces, mounts, network settings.  Nothing that a backend
does in this process has to be reported by it.  What a program does that it starts is that program's own affair.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hostemu.lab.kernel import AUDIT_EVENT, NETWORK_AUDIT_EVENT

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
_ORDINARY_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/shm/")


@dataclass
class Trace:
    """What was done, in order, each file and privilege once.

    settings: of the network and of the kernel, each what a person would type a command for.
    """

    commands: list[list[str]] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    settings: int = 0
    privileges: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> int:
        """The commands' words beside their names."""
        return sum(len(argv) - 1 for argv in self.commands)

    def command(self, argv: list[str]) -> None:
        """A program was started."""
        self.commands.append(argv)

    def file(self, path: str) -> None:
        """A file or folder was made or written."""
        if path not in self.files:
            self.files.append(path)

    def privilege(self, name: str) -> None:
        """Something was used that not every user may use."""
        if name not in self.privileges:
            self.privileges.append(name)


_active: list[Trace] = []
_installed: list[bool] = []


@contextmanager
def tracing() -> Iterator[Trace]:
    """Record everything that this process does, in any of its threads, until the block ends."""
    if not _installed:
        sys.addaudithook(_hook)  # for good: hooks cannot be taken away
        _installed.append(True)
    trace = Trace()
    _active.append(trace)
    try:
        yield trace
    finally:
        _active.remove(trace)


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _active and event in _EVENTS:
        for trace in _active:
            _EVENTS[event](trace, *arguments)


def _popen(trace: Trace, executable: object, argv: Any, *_rest: object) -> None:
    words = [argv] if isinstance(argv, str | bytes | os.PathLike) else list(argv)
    trace.command([os.fsdecode(word) for word in words] or [str(executable)])


def _spawn(trace: Trace, path: Any, argv: Any, *_rest: object) -> None:
    _popen(trace, path, argv)


def _open(trace: Trace, path: object, _mode: object, flags: int) -> None:
    if not isinstance(path, str | bytes | os.PathLike) or not flags & _WRITING:
        return
    name = os.fsdecode(path)
    if name.startswith("/dev/") and not name.startswith(_ORDINARY_DEVICES):
        trace.privilege(name)
    elif name.startswith(("/proc/", "/sys/")):
        trace.settings += 1
    elif not name.startswith("/dev/") or name.startswith("/dev/shm/"):
        trace.file(name)


def _made(trace: Trace, path: object, *_rest: object) -> None:
    if isinstance(path, str | bytes | os.PathLike) and not os.path.lexists(path):
        trace.file(os.fsdecode(path))


def _linked(trace: Trace, _source: object, target: object, *_rest: object) -> None:
    _made(trace, target)


def _renamed(trace: Trace, source: object, target: object, *_rest: object) -> None:
    if str(source) in trace.files:  # a draft
        trace.files.remove(str(source))
    if isinstance(target, str | bytes | os.PathLike):
        trace.file(os.fsdecode(target))


def _socket(trace: Trace, _self: object, family: int, *_rest: object) -> None:
    if family == socket.AF_PACKET:
        trace.privilege("packet sockets")


def _kernel(trace: Trace, call: str) -> None:
    trace.privilege("mounts" if call == "mount" else "namespaces")


def _network(trace: Trace, settings: int) -> None:
    trace.settings += settings
    trace.privilege("network configuration")


_EVENTS: dict[str, Callable[..., None]] = {
    "subprocess.Popen": _popen,
    "os.posix_spawn": _spawn,
    "open": _open,
    "os.mkdir": _made,
    "os.symlink": _linked,
    "os.link": _linked,
    "os.rename": _renamed,
    "socket.__new__": _socket,
    AUDIT_EVENT: _kernel,
    NETWORK_AUDIT_EVENT: _network,
}
