"""The center's store, on SQLite."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.errors import InputError
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.retrieval.store import RunEnd, RunRow, Store, StoredOutcome, StoreError, read_outcomes
from tests.retrieval.harness import database_url

RUN = RunRow("one", "xor", terminals=3, deadline_ns=10)


def row(device_id: int, **changes: Any) -> dict[str, Any]:
    numbers = {"outcome": 2, "reason": 2, "attempts": 4, "exchange_ns": 5, "retrieved_at_ns": -1}
    return {"run_id": "one", "device_id": device_id, "information": b"", **numbers, **changes}


def test_rows_are_read_back_by_device_and_run(tmp_path: Path) -> None:
    with Store(database_url(tmp_path)) as store:
        store.begin_run(RUN)
        store.begin_run(RunRow("two", "xor", 1, 10))
        store.add([row(2**63 - 1), row(2, outcome=1, reason=0, retrieved_at_ns=77, information=b"\x00text")])
        store.add([row(2, run_id="two")], ("two", RunEnd(100, 0, 1)))
        assert store.information("one", 2) == b"\x00text"
        assert store.information("one", 3) is None
    assert read_outcomes(database_url(tmp_path), "one") == [
        StoredOutcome(2, Outcome.RETRIEVED, Reason.NONE, 4, 5, 77),
        StoredOutcome(2**63 - 1, Outcome.FAILED, Reason.SILENT, 4, 5, -1),
    ]
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as database:
        finished = database.execute("select run_id, finished, makespan_ns from runs order by run_id").fetchall()
        (mode,) = database.execute("pragma journal_mode").fetchone()
    assert finished == [("one", 0, None), ("two", 1, 100)]
    assert mode == "wal"


def test_a_batch_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    with Store(database_url(tmp_path)) as store:
        store.begin_run(RUN)
        store.add([row(1)])
        with pytest.raises(StoreError, match=r"store\.sqlite"):
            store.add([row(2), row(1)])
        assert [stored.device_id for stored in store.outcomes("one")] == [1]


def test_a_run_is_entered_once(tmp_path: Path) -> None:
    with Store(database_url(tmp_path)) as store:
        store.begin_run(RUN)
        with pytest.raises(InputError, match="'one'"):
            store.begin_run(RUN)


@pytest.mark.parametrize("url", ["", "center.sqlite", "nosuchdatabase://x"])
def test_a_url_that_names_no_database_is_an_input_error(url: str) -> None:
    with pytest.raises(InputError, match="no database URL"):
        Store(url)


def test_a_missing_file_is_an_input_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no database"):
        read_outcomes(database_url(tmp_path), "one")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").write_bytes(b"something else " * 100)
    with pytest.raises(StoreError, match="not a database"):
        read_outcomes(database_url(tmp_path), "one")


def test_a_folder_that_is_missing_is_a_store_error(tmp_path: Path) -> None:
    with Store(database_url(tmp_path / "none")) as store, pytest.raises(StoreError, match="unable to open"):
        store.begin_run(RUN)
