"""Tables as people see them: on a terminal, or in a document.  Long reasons and warnings become footnotes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from hostemu.report.figures import SCALES
from hostemu.report.table_data import TableData

JSON = Mapping[str, Any]


class _Footnotes:
    """Numbered texts, each once."""

    def __init__(self) -> None:
        self._texts: dict[str, int] = {}

    def mark(self, text: str) -> str:
        """The mark that refers to a text."""
        return f"[{self._texts.setdefault(text, len(self._texts) + 1)}]"

    def lines(self) -> list[str]:
        """All texts with their marks."""
        return [f"[{number}] {text}" for text, number in self._texts.items()]


def _cell(cell: JSON, notes: _Footnotes) -> str:
    match cell["is"]:
        case "published":
            return SCALES[cell["unit"]].text(cell["value"]) if cell["unit"] else f"{cell['value']:g}"
        case "measured":
            marks = "".join(notes.mark(warning) for warning in cell["warnings"])
            return f"{cell['text']} {marks}".strip()
        case "reason":
            return f"– {notes.mark(cell['text'])}"
        case "ratio":
            return f"{cell['value']:.2f}"
        case "rating":
            return _rating(cell)
    return ""


def _rating(cell: JSON) -> str:
    before = [f"2008: {cell['published']}"] if cell["published"] else []
    before += [f"printed: {cell['printed']}"] if cell["printed"] else []
    return f"{cell['measured'] or '–'}" + (f" ({', '.join(before)})" if before else "")


def _laid_out(table: TableData) -> tuple[list[list[str]], list[str]]:
    """Rows of texts, and notes with footnotes."""
    footnotes = _Footnotes()
    rows = [[name, *(_cell(cell, footnotes) for cell in cells)] for name, cells in table.rows]
    return rows, [*table.notes, *footnotes.lines()]


def as_table(table: TableData) -> Table:
    """For a terminal."""
    rows, notes = _laid_out(table)
    made = Table(title=table.title, caption="\n".join(notes), caption_justify="left")
    made.add_column("", no_wrap=True)
    for heading in table.headings:
        made.add_column(heading, justify="right", overflow="fold")
    for row in rows:
        made.add_row(*(text.replace("[", r"\[") for text in row))
    made.caption = "\n".join(notes).replace("[", r"\[")
    return made


def as_markdown(table: TableData) -> str:
    """For a document."""
    rows, notes = _laid_out(table)
    lines = [f"### {table.title}", "", f"| | {' | '.join(table.headings)} |", "|---|" + "---:|" * len(table.headings)]
    lines += [f"| {' | '.join(text.replace('|', '/') for text in row)} |" for row in rows]
    return "\n".join([*lines, "", *(f"- {note}" for note in notes), ""])
