"""Ledgers: finished runs stay, under a first line that must agree."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostemu.base.appendable import Entry, Kind
from hostemu.base.errors import InputError, RecordError
from hostemu.base.ledger import Form


def _parse(entry: Entry) -> tuple[int, str]:
    return entry["number"], entry["text"].upper()


FORM = Form(Kind("test", "try"), 1, "colour", _parse)
RED = FORM.header({"colour": "red"})


def test_finished_runs_are_there_again_and_the_last_of_a_kind_counts(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with FORM.opened(path, RED, resume=False) as (file, content):
        assert content.runs == {}
        for number, text in ((1, "a"), (2, "b"), (1, "c")):
            file.append({"number": number, "text": text})
    path.write_bytes(path.read_bytes() + b'{"number": 3, "te')
    with FORM.opened(path, RED, resume=True) as (file, content):
        assert content.runs == {1: "C", 2: "B"}
        file.append({"number": 3, "text": "d"})
    assert FORM.read(path).runs == {1: "C", 2: "B", 3: "D"}


def test_another_header_does_not_go_on(tmp_path: Path) -> None:
    with FORM.opened(tmp_path / "ledger", RED, resume=False):
        pass
    before = (tmp_path / "ledger").read_bytes()
    with (
        pytest.raises(InputError, match=r"another test[^$]*the same colour[^$]*another colour"),
        FORM.opened(tmp_path / "ledger", FORM.header({"colour": "blue"}), resume=True),
    ):
        pass
    assert (tmp_path / "ledger").read_bytes() == before


@pytest.mark.parametrize("line", ['{"number": 1}', '{"text": "a"}', '{"number": 1, "text": 5}'])
def test_an_incomplete_run_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    with FORM.opened(tmp_path / "ledger", RED, resume=False):
        pass
    with (tmp_path / "ledger").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(RecordError, match="line 2 is incomplete"):
        FORM.read(tmp_path / "ledger")
