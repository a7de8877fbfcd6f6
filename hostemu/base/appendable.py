"""Files of JSON lines to which finished work is appended, for ever: campaigns, sweeps.

A line is on the disk when `append` returns.  Whatever ends the program, at most the line that was being written is
lost: it has no end, and is cut off when the file is opened again.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hostemu.base.errors import HostError, InputError, RecordError

Entry = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """What a file is called in messages.  name: "campaign".  verb: the one that writes it, such as "calibrate"."""

    name: str
    verb: str

    def absent(self, path: Path, error: OSError) -> InputError:
        """There is no such file."""
        hint = f"`hostemu {self.verb}` writes one"
        return InputError(f"cannot read the journal {path}: {error.strerror}", hint=hint)


def read_entries(path: Path, kind: Kind) -> tuple[list[Entry], int]:
    """(every whole line's object, up to which byte lines are whole).

    InputError when there is no file, RecordError when a line is no JSON object.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise kind.absent(path, error) from error
    *lines, _torn = data.split(b"\n")
    entries = [_parsed(path, number, line) for number, line in enumerate(lines, start=1)]
    return entries, sum(len(line) + 1 for line in lines)


def _parsed(path: Path, number: int, line: bytes) -> Entry:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise RecordError(f"{path}, line {number} is damaged", expected="a JSON object", found=str(error)) from None
    if not isinstance(entry, dict):
        raise RecordError(f"{path}, line {number} is damaged", expected="a JSON object", found=line.decode()[:40])
    return entry


class Appendable:
    """A file that is being written, by this process alone; a context manager.

    is_new: nothing whole was in it when it was opened.
    """

    def __init__(self, path: Path, fd: int, *, is_new: bool) -> None:
        self.path = path
        self.is_new = is_new
        self._fd = fd

    @staticmethod
    def open(path: Path, kind: Kind, *, resume: bool, check: Callable[[], int]) -> Appendable:
        """Begin a file, or with `resume` go on with the one that is there, if one is.

        check: called when there are whole lines to go on with: says up to which byte, or raises what is against it.
        Raises InputError when there is something already, or when another process writes it; HostError when it cannot
        be written.
        """
        with ExitStack() as undo:
            fd = _open(path)
            undo.callback(os.close, fd)
            _lock(fd, path)
            size = os.fstat(fd).st_size
            if size and not resume:
                raise InputError(
                    f"there is a {kind.name} in {path} already",
                    hint="go on with it (--continue), or name another place with --output",
                )
            whole_bytes = check() if size and b"\n" in path.read_bytes() else 0
            os.ftruncate(fd, whole_bytes)
            undo.pop_all()
            return Appendable(path, fd, is_new=not whole_bytes)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a line, and see that it is on the disk; HostError, with the file as it was, when it cannot be."""
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        start = os.lseek(self._fd, 0, os.SEEK_END)
        try:
            written = 0
            while written < len(line):
                written += os.write(self._fd, line[written:])
            os.fsync(self._fd)
        except OSError as error:
            os.ftruncate(self._fd, start)
            raise _unwritable(self.path, error) from error

    def settle(self) -> None:
        """See that the file's name is on the disk, too."""
        fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def close(self) -> None:
        """End writing; another process may begin."""
        os.close(self._fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise InputError(
            f"cannot write the journal {path}: {error.strerror}", hint="name another place with --output"
        ) from error


def _lock(fd: int, path: Path) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise InputError(
            f"another process is measuring into {path}", hint="wait for it, or name another place with --output"
        ) from error


def _unwritable(path: Path, error: OSError) -> HostError:
    what = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
    return HostError(
        f"cannot write to the journal {path}: {what}",
        hint="what was finished so far is kept: make room, then go on with --continue",
    )
