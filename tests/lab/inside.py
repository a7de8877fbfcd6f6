"""What the tests have done inside a lab: functions of (argument, emit)."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hostemu.base import errors

Emit = Callable[[dict[str, Any]], None]


def answer(argument: Any, _emit: Emit) -> Any:
    """What was given."""
    return argument


def count(number: int, emit: Emit) -> str:
    """Send this many events."""
    for k in range(number):
        emit({"k": k})
    return "done"


def big(length: int, _emit: Emit) -> str:
    """A long result."""
    return "é" * length


def no_json(_argument: Any, _emit: Emit) -> Any:
    """A result that cannot cross the border."""
    return {1, 2}


def fail(kind: str, _emit: Emit) -> None:
    """Raise an error of our tree with all its fields."""
    raise getattr(errors, kind)("sentence", expected="this", found="that", hint="do so", log=Path("some.log"))


def crash(_argument: Any, _emit: Emit) -> None:
    """Raise an error that nobody foresaw."""
    raise ZeroDivisionError("by nothing")


def die(_argument: Any, _emit: Emit) -> None:
    """Be killed."""
    os.kill(os.getpid(), signal.SIGKILL)


def linger(marker: str, emit: Emit) -> None:
    """Start a program and an orphan, say so, and wait; note when the end is orderly."""
    subprocess.Popen(["sh", "-c", "sleep 1000 & exec sleep 1000"])
    try:
        emit({"waiting": True})
        threading.Event().wait()
    finally:
        Path(marker).write_text("tidied up")


def namespaces(*kinds: str) -> dict[str, str]:
    """The identities of this process's namespaces of these kinds."""
    return {kind: str(Path(f"/proc/self/ns/{kind}").readlink()) for kind in kinds}


def surroundings(_argument: Any, _emit: Emit) -> dict[str, Any]:
    """What a lab looks like from inside."""
    Path("/dev/shm/hostemu-test").write_text("mine")
    subprocess.run(["sh", "-c", "sleep 0.01 & exit"], check=True)  # leaves an orphan
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname()[:2], timeout=5).close()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return {
        "uid": os.geteuid(),
        "processes": sorted(int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "sys_interfaces": [path.name for path in Path("/sys/class/net").iterdir()],
        "stdin": Path("/proc/self/fd/0").readlink().name,
        "file_limit_is_raised": soft == hard,
        "namespaces": namespaces("net", "pid", "mnt", "ipc", "uts"),
    }


def zombies(_argument: Any, _emit: Emit) -> int:
    """How many ended orphans stay unreaped."""
    for _ in range(5):
        subprocess.run(["sh", "-c", "true & exit"], check=True)
    until_s = time.monotonic() + 5
    while (left := sum(_is_zombie(entry) for entry in Path("/proc").iterdir())) and time.monotonic() < until_s:
        time.sleep(0.01)
    return left


def _is_zombie(entry: Path) -> bool:
    try:
        return entry.name.isdigit() and (entry / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return False


def write(path: str, _emit: Emit) -> None:
    """Write a file of the host's."""
    Path(path).write_text("from the lab")
