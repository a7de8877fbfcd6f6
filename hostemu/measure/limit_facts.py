"""What the kernel allows and what is in use, as /proc and /sys tell it.  A fact that is not told is None."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

UNLIMITED = (1 << 63) - 1
"""No limit; what the kernel means by "max" or "unlimited"."""

_ALL_IDS = 0xFFFFFFFF
_OWN_ROOT = f"0 0 {_ALL_IDS}"
"""uid_map of the first user namespace: every number is itself; user_namespaces(7)."""

NAMESPACES = ("user", "mnt", "net", "pid", "ipc", "uts")


@dataclass(frozen=True)
class GroupLimit:
    """A limit of a control group, and how much of it is in use; file: where it is set."""

    file: str
    limit: int
    used: int

    @property
    def left(self) -> int:
        """What is not in use."""
        return self.limit - self.used


@dataclass(frozen=True)
class Facts:
    """Limits and their present use.  Sizes are bytes; tasks are processes and threads.

    is_root: root of the machine, not of a user namespace.  own_tasks: of this user.
    namespaces: how many of each kind this user may make; namespaces(7).
    open_files: RLIMIT_NOFILE, hard.  nr_open: how far that can be raised.  files_max, files: of the whole system.
    shm_bytes: what still fits on /dev/shm, which in a lab is another one.  commit_strict: vm.overcommit_memory is 2.
    neighbours_max: gc_thresh3, told to the first network namespace only.
    """

    is_root: bool = False
    pid_max: int | None = None
    threads_max: int | None = None
    tasks: int = 0
    own_tasks: int = 0
    own_tasks_max: int | None = None
    open_files: int | None = None
    nr_open: int | None = None
    files_max: int | None = None
    files: int = 0
    group_tasks: GroupLimit | None = None
    group_memory: GroupLimit | None = None
    namespaces: dict[str, int] = field(default_factory=dict)
    memory_available_bytes: int | None = None
    shm_bytes: int | None = None
    max_map_count: int | None = None
    commit_strict: bool = False
    commit_limit_bytes: int | None = None
    committed_bytes: int = 0
    neighbours_max: int | None = None


def read_facts(root: Path = Path("/")) -> Facts:
    """The facts of the machine whose /proc, /sys and /dev/shm are below `root`.  Manual: proc(5), cgroups(7)."""
    proc, system = root / "proc", root / "proc/sys"
    memory = _fields(proc / "meminfo")
    limits = _limits(proc / "self/limits")
    user = _fields(proc / "self/status").get("Uid", "").split()[:1]
    files = _text(system / "fs/file-nr").split()
    return Facts(
        is_root=user == ["0"] and " ".join(_text(proc / "self/uid_map").split()) == _OWN_ROOT,
        pid_max=_number(system / "kernel/pid_max"),
        threads_max=_number(system / "kernel/threads-max"),
        tasks=_tasks(proc),
        own_tasks=_tasks_of(proc, user),
        own_tasks_max=limits.get("Max processes", (None, None))[0],
        open_files=limits.get("Max open files", (None, None))[1],
        nr_open=_number(system / "fs/nr_open"),
        files_max=_number(system / "fs/file-max"),
        files=_parsed(files[0]) or 0 if files else 0,
        group_tasks=_tightest(root, "pids", ("pids.max", "pids.current")),
        group_memory=_tightest(root, "memory", ("memory.max", "memory.current"))
        or _tightest(root, "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")),
        namespaces=_namespaces(system / "user"),
        memory_available_bytes=_kib(memory.get("MemAvailable")),
        shm_bytes=_free_bytes(root / "dev/shm"),
        max_map_count=_number(system / "vm/max_map_count"),
        commit_strict=_number(system / "vm/overcommit_memory") == 2,
        commit_limit_bytes=_kib(memory.get("CommitLimit")),
        committed_bytes=_kib(memory.get("Committed_AS")) or 0,
        neighbours_max=_number(system / "net/ipv4/neigh/default/gc_thresh3"),
    )


def _text(path: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return path.read_text().strip()
    return ""


def _number(path: Path) -> int | None:
    return _parsed(_text(path))


def _parsed(text: str) -> int | None:
    """A number of the kernel's; cgroup v1 says "unlimited" by a number that is nearly the largest."""
    if text in ("max", "unlimited"):
        return UNLIMITED
    try:
        value = int(text)
    except ValueError:
        return None
    return UNLIMITED if value >= UNLIMITED - (1 << 20) else value


def _fields(path: Path) -> dict[str, str]:
    lines = (line.partition(":") for line in _text(path).splitlines())
    return {name.strip(): value.strip() for name, _, value in lines}


def _kib(text: str | None) -> int | None:
    number = _parsed((text or "").removesuffix("kB").strip())
    return None if number is None else number * 1024


def _limits(path: Path) -> dict[str, tuple[int | None, int | None]]:
    """(soft, hard) by name: the lines of /proc/PID/limits are columns, parted by two spaces or more."""
    found = {}
    for line in _text(path).splitlines()[1:]:
        columns = [column.strip() for column in line.split("  ") if column.strip()]
        if len(columns) >= 3:
            found[columns[0]] = (_parsed(columns[1]), _parsed(columns[2]))
    return found


def _tasks(proc: Path) -> int:
    """All tasks of the kernel: the part behind the slash in the fourth field of loadavg."""
    fields = _text(proc / "loadavg").split()
    return (_parsed(fields[3].partition("/")[2]) or 0) if len(fields) > 3 else 0


def _tasks_of(proc: Path, user: list[str]) -> int:
    """The threads of all processes of a user (the real user counts)."""
    return sum(
        _parsed(status.get("Threads", "0")) or 0
        for status in map(_fields, proc.glob("[0-9]*/status"))
        if status.get("Uid", "").split()[:1] == user
    )


def _namespaces(folder: Path) -> dict[str, int]:
    limits = {kind: _number(folder / f"max_{kind}_namespaces") for kind in NAMESPACES}
    return {kind: limit for kind, limit in limits.items() if limit is not None}


def _free_bytes(folder: Path) -> int | None:
    with suppress(OSError):
        status = os.statvfs(folder)
        return status.f_bavail * status.f_frsize
    return None


def _tightest(root: Path, controller: str, names: tuple[str, str]) -> GroupLimit | None:
    """Of this process' control group and all above it, the limit that leaves least."""
    limits = [
        limit
        for folder in _group_folders(root, controller)
        if (limit := _group_limit(root, folder, names)) is not None and limit.limit != UNLIMITED
    ]
    return min(limits, key=lambda limit: limit.left, default=None)


def _group_folders(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the control group and of those above it, version 2 or 1; cgroups(7) /proc/PID/cgroup."""
    mounts = root / "sys/fs/cgroup"
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, names, path = [*line.split(":", 2), "", ""][:3]
        if names and controller not in names.split(","):
            continue
        tops = [mounts / names] if names else [mounts, mounts / "unified"]
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        for top in tops:
            yield from (top.joinpath(*parts[:depth]) for depth in range(len(parts), -1, -1))


def _group_limit(root: Path, folder: Path, names: tuple[str, str]) -> GroupLimit | None:
    limit, used = (_number(folder / name) for name in names)
    if limit is None:
        return None
    cache = _cache_bytes(folder) if names[0].startswith("memory") else 0
    return GroupLimit("/" + str((folder / names[0]).relative_to(root)), limit, max(0, (used or 0) - cache))


def _cache_bytes(folder: Path) -> int:
    """File pages that nobody has used lately: they count as in use, but are given up when memory is short."""
    rows = (line.partition(" ") for line in _text(folder / "memory.stat").splitlines())
    statistics = {name: _parsed(value) for name, _, value in rows}
    return statistics.get("total_inactive_file") or statistics.get("inactive_file") or 0
