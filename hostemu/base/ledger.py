"""Ledgers: files of finished runs, under a first line that says of what; it must agree when they go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from hostemu.base.appendable import Appendable, Entry, Kind, read_entries
from hostemu.base.errors import InputError, RecordError

Key = TypeVar("Key")
Run = TypeVar("Run")


@dataclass
class Content(Generic[Key, Run]):
    """What a ledger holds.  header: its first line.  whole_bytes: up to where its lines are complete."""

    header: Entry
    runs: dict[Key, Run] = field(default_factory=dict)
    whole_bytes: int = 0


@dataclass(frozen=True)
class Form(Generic[Key, Run]):
    """A kind of ledger.  same: what must be the same to go on, in words.

    parse: a run's line → what it is found by, and the run; KeyError, TypeError or AttributeError when it has neither.
    """

    kind: Kind
    schema: int
    same: str
    parse: Callable[[Entry], tuple[Key, Run]]

    def header(self, facts: Entry) -> Entry:
        """The first line of a ledger with these facts."""
        return {"entry": self.kind.name, "schema": self.schema, **facts}

    def read(self, path: Path) -> Content[Key, Run]:
        """What a file holds; InputError when there is none, RecordError when it is no such ledger or damaged."""
        entries, whole_bytes = read_entries(path, self.kind)
        name = self.kind.name
        if not entries or entries[0].get("entry") != name or entries[0].get("schema") != self.schema:
            raise RecordError(
                f"{path} is no {name} of a version that is understood",
                expected=f'"entry": "{name}", "schema": {self.schema}',
            )
        content: Content[Key, Run] = Content(entries[0], whole_bytes=whole_bytes)
        for number, entry in enumerate(entries[1:], start=2):
            try:
                key, run = self.parse(entry)
            except (KeyError, TypeError, AttributeError) as error:
                raise RecordError(
                    f"{path}, line {number} is incomplete", found=f"{type(error).__name__}: {error}"
                ) from None
            content.runs[key] = run
        return content

    @contextmanager
    def opened(self, path: Path, header: Entry, *, resume: bool) -> Iterator[tuple[Appendable, Content[Key, Run]]]:
        """Begin a ledger, or with `resume` go on with the one that is there: the file, and what is in it.

        InputError when there is one already, or (with `resume`) one with another header.
        """
        content: Content[Key, Run] = Content(header)

        def check() -> int:
            nonlocal content
            content = self.read(path)
            self._require_same(path, content.header, header)
            return content.whole_bytes

        with Appendable.open(path, self.kind, resume=resume, check=check) as file:
            if file.is_new:
                file.append(header)
                file.settle()
            yield file, content

    def _require_same(self, path: Path, old: Entry, new: Entry) -> None:
        different = [key for key in new if old.get(key) != new[key]]
        if different:
            raise InputError(
                f"{path} is of another {self.kind.name}",
                expected=f"the same {self.same}",
                found=f"another {', '.join(different)}",
                hint="name another place with --output",
            )
