"""The journal of a campaign: a file of JSON lines to which every finished measurement is appended, for ever.

    {"entry": "campaign", "schema": 1, "definition": {…}, "at": "…"}        the first line
    {"entry": "session", "at": "…", "host": {…}, "backends": {…}, "tools": {…}}
    {"entry": "measurement", "figure": …, "backend": …, "parameters": {…}, "repeat": 1, "values": {…}, …}
    {"entry": "failure", "figure": …, "backend": …, "parameters": {…}, "repeat": 1, "error": {…}, "at": "…"}

A line is on the disk when `append` returns.  Whatever ends the program, at most the line that was being written is
lost: it has no end, and is cut off when the campaign goes on.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hostemu.base.errors import HostError, InputError, RecordError
from hostemu.measure.agreement import Session, disagreements, require_agreement
from hostemu.measure.definition import differences
from hostemu.measure.plan import Cell

SCHEMA = 1

Entry = dict[str, Any]


@dataclass(frozen=True)
class Measurement:
    """One finished measurement.

    values: name (with its unit) → number.  raw: what they were made of.  warm_up: does not count.
    load_before: shares of all cores' time just before.  load: during it; see measure.host.summarise.
    """

    cell: Cell
    repeat: int
    at: str
    duration_s: float
    values: Mapping[str, float]
    raw: Mapping[str, Any] = field(default_factory=dict)
    warm_up: bool = False
    load_before: Mapping[str, float] = field(default_factory=dict)
    load: Mapping[str, Any] = field(default_factory=dict)

    def as_entry(self) -> Entry:
        """As a line of the journal."""
        return {
            "entry": "measurement",
            **self.cell.as_json(),
            **{name: getattr(self, name) for name in _MEASUREMENT_KEYS},
        }


_MEASUREMENT_KEYS = ("repeat", "at", "duration_s", "values", "raw", "warm_up", "load_before", "load")


@dataclass(frozen=True)
class Failure:
    """A measurement that failed.  error: an error of our tree as data."""

    cell: Cell
    repeat: int
    at: str
    error: Mapping[str, Any]

    def as_entry(self) -> Entry:
        """As a line of the journal."""
        return {
            "entry": "failure",
            **self.cell.as_json(),
            **{name: getattr(self, name) for name in ("repeat", "at", "error")},
        }


@dataclass
class Content:
    """What a journal holds.  sessions: as they were written.  whole_bytes: up to where its lines are complete."""

    definition: Mapping[str, Any]
    at: str
    sessions: list[Entry] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    whole_bytes: int = 0

    def done(self) -> dict[Cell, set[int]]:
        """The repeats of every cell that have a value."""
        found: dict[Cell, set[int]] = {}
        for measurement in self.measurements:
            if not measurement.warm_up:
                found.setdefault(measurement.cell, set()).add(measurement.repeat)
        return found

    def measured_backends(self) -> set[str]:
        """The backends that have values."""
        return {measurement.cell.backend for measurement in self.measurements}


def now() -> str:
    """This moment, as journals write it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_journal(path: Path) -> Content:
    """What a journal holds; InputError when there is none, RecordError when it is no journal or damaged."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot read the journal {path}: {error.strerror}", hint="`hostemu calibrate` writes one"
        ) from error
    *lines, _torn = data.split(b"\n")
    if not lines:
        raise RecordError(f"{path} is no journal of a campaign", expected="a first line", found="none")
    content: Content | None = None
    for number, line in enumerate(lines, start=1):
        content = _take(content, _parsed(path, number, line), f"{path}, line {number}")
    if content is None:
        raise RecordError(f"{path} is no journal of a campaign")
    content.whole_bytes = sum(len(line) + 1 for line in lines)
    return content


def _parsed(path: Path, number: int, line: bytes) -> Entry:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise RecordError(f"{path}, line {number} is damaged", expected="a JSON object", found=str(error)) from None
    if not isinstance(entry, dict):
        raise RecordError(f"{path}, line {number} is damaged", expected="a JSON object", found=line.decode()[:40])
    return entry


def _take(content: Content | None, entry: Entry, where: str) -> Content:
    """Take one line in; the first one makes the content."""
    kind = entry.get("entry")
    try:
        if content is None:
            if kind != "campaign" or entry["schema"] != SCHEMA:
                raise RecordError(
                    f"{where}: not a journal of a version that is understood",
                    expected=f'"entry": "campaign", "schema": {SCHEMA}',
                    found=f'"entry": {kind!r}, "schema": {entry.get("schema")!r}',
                )
            return Content(entry["definition"], entry["at"])
        if kind == "session":
            content.sessions.append(entry)
        elif kind == "measurement":
            given = {name: entry[name] for name in _MEASUREMENT_KEYS}
            content.measurements.append(Measurement(cell=Cell.from_json(entry), **given))
        elif kind == "failure":
            content.failures.append(Failure(Cell.from_json(entry), entry["repeat"], entry["at"], entry["error"]))
        else:
            raise RecordError(f"{where}: an entry of an unknown kind", found=repr(kind))
    except (KeyError, TypeError, AttributeError) as error:
        raise RecordError(f"{where}: the entry is incomplete", found=f"{type(error).__name__}: {error}") from None
    return content


def session_of(entry: Mapping[str, Any]) -> Session:
    """The facts of a session's line."""
    backends = {name: said.get("identity", {}) for name, said in entry.get("backends", {}).items()}
    return Session(entry.get("host", {}), backends, entry.get("tools", {}))


class Journal:
    """A journal that is being written, by this process alone; a context manager.

    content: what was in it when it was opened.
    """

    def __init__(self, path: Path, fd: int, content: Content) -> None:
        self.path = path
        self.content = content
        self._fd = fd

    @staticmethod
    def open(path: Path, definition: Mapping[str, Any], session: Mapping[str, Any], *, resume: bool) -> Journal:
        """Begin a campaign, or with `resume` go on with the one that is there, if one is.

        session: host facts, what backends and tools are made of.
        Raises InputError when there is a journal already, when it is of another definition or machine, or when
        another process writes it; HostError when it cannot be written.
        """
        with ExitStack() as undo:
            fd = _open(path)
            undo.callback(os.close, fd)
            _lock(fd, path)
            size = os.fstat(fd).st_size
            if size and not resume:
                raise InputError(
                    f"there is a campaign in {path} already",
                    hint="go on with it (--continue), or name another place with --output",
                )
            journal = Journal(path, fd, _checked(path, definition, session) if size else Content(definition, now()))
            os.ftruncate(fd, journal.content.whole_bytes)
            if not journal.content.whole_bytes:
                journal.append(
                    {"entry": "campaign", "schema": SCHEMA, "definition": definition, "at": journal.content.at}
                )
            journal.append({"entry": "session", "at": now(), **session})
            _sync_folder(path.parent)
            undo.pop_all()
            return journal

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a line, and see that it is on the disk; HostError, with the journal as it was, when it cannot be."""
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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)


def _checked(path: Path, definition: Mapping[str, Any], session: Mapping[str, Any]) -> Content:
    """What the journal holds, if this definition and session may go on with it.  A torn first line is none."""
    if b"\n" not in path.read_bytes():
        return Content(definition, now())
    content = read_journal(path)
    found = differences(content.definition, definition)
    for old in content.sessions[-1:]:
        found += disagreements(session_of(old), session_of(session), content.measured_backends())
    require_agreement(str(path), found)
    return content


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
        hint="what was measured so far is kept: make room, then go on with --continue",
    )


def _sync_folder(folder: Path) -> None:
    """See that the file's name is on the disk, too."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def values_of(measurements: Sequence[Measurement], name: str) -> list[float]:
    """One value's numbers in the order in which they were measured; warm-ups left out."""
    return [m.values[name] for m in sorted(measurements, key=lambda m: m.at) if name in m.values and not m.warm_up]
