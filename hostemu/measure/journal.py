"""The journal of a campaign: a file of JSON lines (`hostemu.base.appendable`), one for every finished measurement.

{"entry": "campaign", "schema": 1, "definition": {…}, "at": "…"}        the first line
{"entry": "session", "at": "…", "host": {…}, "backends": {…}, "tools": {…}}
{"entry": "measurement", "figure": …, "backend": …, "parameters": {…}, "repeat": 1, "values": {…}, …}
{"entry": "failure", "figure": …, "backend": …, "parameters": {…}, "repeat": 1, "error": {…}, "at": "…"}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from hostemu.base.appendable import Appendable, Entry, Kind, read_entries
from hostemu.base.errors import RecordError
from hostemu.measure.agreement import Session, disagreements, require_agreement
from hostemu.measure.definition import differences
from hostemu.measure.plan import Cell

SCHEMA = 1
KIND = Kind("campaign", "calibrate")


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
    entries, whole_bytes = read_entries(path, KIND)
    content: Content | None = None
    for number, entry in enumerate(entries, start=1):
        content = _take(content, entry, f"{path}, line {number}")
    if content is None:
        raise RecordError(f"{path} is no journal of a campaign", expected="a first line", found="none")
    content.whole_bytes = whole_bytes
    return content


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

    def __init__(self, file: Appendable, content: Content) -> None:
        self.content = content
        self._file = file

    @staticmethod
    def open(path: Path, definition: Mapping[str, Any], session: Mapping[str, Any], *, resume: bool) -> Journal:
        """Begin a campaign, or with `resume` go on with the one that is there, if one is.

        session: host facts, what backends and tools are made of.
        Raises InputError when there is a journal already, when it is of another definition or machine, or when
        another process writes it; HostError when it cannot be written.
        """
        content = Content(definition, now())

        def check() -> int:
            nonlocal content
            content = _checked(path, definition, session)
            return content.whole_bytes

        with ExitStack() as undo:
            file = undo.enter_context(Appendable.open(path, KIND, resume=resume, check=check))
            if file.is_new:
                file.append({"entry": "campaign", "schema": SCHEMA, "definition": definition, "at": content.at})
            file.append({"entry": "session", "at": now(), **session})
            file.settle()
            undo.pop_all()
            return Journal(file, content)

    def append(self, entry: Mapping[str, Any]) -> None:
        """Add a line; see Appendable."""
        self._file.append(entry)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _checked(path: Path, definition: Mapping[str, Any], session: Mapping[str, Any]) -> Content:
    """What the journal holds, if this definition and session may go on with it."""
    content = read_journal(path)
    found = differences(content.definition, definition)
    for old in content.sessions[-1:]:
        found += disagreements(session_of(old), session_of(session), content.measured_backends())
    require_agreement(str(path), found)
    return content


def values_of(measurements: Sequence[Measurement], name: str) -> list[float]:
    """One value's numbers in the order in which they were measured; warm-ups left out."""
    return [m.values[name] for m in sorted(measurements, key=lambda m: m.at) if name in m.values and not m.warm_up]
