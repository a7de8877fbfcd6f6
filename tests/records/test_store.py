"""Record files: nothing is lost between memory and disk, and no accident leaves an unreadable file."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings

from hostemu.base.deadline import Deadline
from hostemu.base.errors import InputError, RecordError
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.records import TERMINAL, RecordWriter, RunRecord, read_record, records_equal, summary, write_record
from tests.records.strategies import records


def small(seed: int = 1, terminals: int = 3) -> RunRecord:
    """A finished run in which every third terminal failed."""
    table = np.zeros(terminals, TERMINAL)
    table["device_id"] = np.arange(terminals) + 1
    table["outcome"] = Outcome.RETRIEVED
    table["retrieved_at_ns"] = (np.arange(terminals) + 1) * 10**9
    table["attempts"] = 2
    table["outcome"][2::3] = Outcome.FAILED
    table["reason"][2::3] = Reason.REFUSED
    table["retrieved_at_ns"][2::3] = -1
    return RunRecord(
        "real", "netns", "gine", "smoke", "text", seed, complete=True, terminals=table, makespan_ns=5 * 10**9
    )


@settings(max_examples=40)
@given(record=records)
def test_a_record_survives_the_disk(record: RunRecord, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("record") / "record.h5"
    write_record(record, path)
    assert records_equal(read_record(path), record)
    assert [file.name for file in path.parent.iterdir()] == ["record.h5"]


def test_every_column_says_its_unit_and_enumerations_have_names(tmp_path: Path) -> None:
    write_record(small(), tmp_path / "r.h5")
    with h5py.File(tmp_path / "r.h5") as file:
        units = file["terminals"].attrs["units"]
        assert '"retrieved_at_ns": "nanoseconds"' in units
        names = h5py.check_enum_dtype(file["terminals"].dtype["reason"])
        assert names["REFUSED"] == Reason.REFUSED
        assert file.attrs["schema_version"] == 1


def test_a_record_of_another_version_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    write_record(small(), path)
    with h5py.File(path, "a") as file:
        file.attrs["schema_version"] = 99
    with pytest.raises(InputError, match="version 99"):
        read_record(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "not an HDF5 file"), (b"text", "not an HDF5 file"), (b"\x89HDF\r\n\x1a\n" + bytes(100), "is damaged")],
)
def test_a_file_that_is_no_record_is_bad_input(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "r.h5"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"r\.h5[^$]*{words}"):
        read_record(path)


def test_a_missing_file_and_a_folder_are_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no record"):
        read_record(tmp_path / "none.h5")
    with pytest.raises(InputError, match="cannot read"):
        read_record(tmp_path)


def test_another_hdf5_file_is_bad_input(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="not a record"):
        read_record(tmp_path / "r.h5")


def test_a_record_without_a_table_or_a_column_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    for table in ({}, {"data": np.zeros(3, [("device_id", "u8")])}):
        write_record(small(), path)
        with h5py.File(path, "a") as file:
            del file["terminals"]
            if table:
                file.create_dataset("terminals", **table)
        with pytest.raises(InputError, match="is damaged"):
            read_record(path)


def test_a_truncated_record_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    write_record(small(terminals=5000), path)
    whole = path.read_bytes()
    for length in range(0, len(whole), len(whole) // 60):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"r\.h5"):
            read_record(path)


def test_damage_to_tables_and_facts_is_noticed(tmp_path: Path) -> None:
    """A changed byte gives an error, or lies where nothing is: never other figures."""
    path = tmp_path / "r.h5"
    record = small(terminals=1500)
    write_record(record, path)
    whole = path.read_bytes()
    places = random.Random(1)
    noticed = 0
    for _ in range(300):
        place = places.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            again = read_record(path)
        except InputError:
            noticed += 1
        else:
            assert summary(again) | {"host": {}} == summary(record)
            assert np.array_equal(again.terminals, record.terminals)
    assert noticed > 30


def test_equal_records_are_equal_files(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write_record(small(terminals=2000), tmp_path / name)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_a_long_scenario_text_is_kept(tmp_path: Path) -> None:
    record = small()
    record.scenario_text = "# ä long comment\n" * 10_000
    write_record(record, tmp_path / "r.h5")
    assert read_record(tmp_path / "r.h5").scenario_text == record.scenario_text


def test_a_table_with_an_unknown_reason_or_other_columns_is_not_written(tmp_path: Path) -> None:
    record = small()
    record.terminals["reason"] = 250
    with pytest.raises(RecordError, match="unknown reason 250"):
        write_record(record, tmp_path / "r.h5")
    with pytest.raises(RecordError, match="table lines has columns"):
        write_record(replace(small(), lines=np.zeros(1, TERMINAL)), tmp_path / "r.h5")
    with pytest.raises(RecordError, match="no file can hold"):
        write_record(replace(small(), extra={"x": object()}), tmp_path / "r.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_record_for_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file or directory"):
        write_record(small(), tmp_path / "none" / "r.h5")


def test_a_summary_is_in_scenario_time() -> None:
    record = small(terminals=6)
    record.time_scale = 10.0
    result = summary(record)
    assert result["retrieved"] == 4
    assert result["failed"] == {"refused": 2}
    assert result["makespan_s"] == 50.0
    assert result["time_to_retrieve_s"]["max"] == 50.0
    assert result["attempts"] == {"mean": 2.0, "max": 2}
    assert result["verdict"] == "valid"


def test_a_summary_of_nothing_retrieved_has_no_quantiles() -> None:
    record = small()
    record.terminals["outcome"] = Outcome.PENDING
    assert summary(record)["time_to_retrieve_s"]["p50"] is None
    assert summary(record)["failed"] == {"pending": 3}


def test_checkpoints_come_at_intervals(tmp_path: Path) -> None:
    writer = RecordWriter(tmp_path / "r.h5", 3600.0)
    assert not writer.checkpoint(small)
    assert not (tmp_path / "r.h5").exists()
    eager = RecordWriter(tmp_path / "r.h5", 0.0)
    assert eager.checkpoint(lambda: small(seed=7))
    assert read_record(tmp_path / "r.h5").seed == 7
    assert not read_record(tmp_path / "r.h5").complete
    eager.finish(small(seed=8))
    assert read_record(tmp_path / "r.h5").seed == 8
    assert read_record(tmp_path / "r.h5").complete


WRITERS = """
import os, sys
from pathlib import Path
from tests.records.test_store import small, write_record
for _ in sys.stdin:
    writer = os.fork()
    if not writer:
        for seed in range(100_000):
            write_record(small(seed=seed, terminals=4000), Path(sys.argv[1]))
            if seed == 0:
                print(os.getpid(), flush=True)
    os.waitpid(writer, 0)
    print("killed", flush=True)
"""
"""For every line of input a process that writes until it is killed."""


def test_a_killed_writer_leaves_a_readable_record(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    order = [sys.executable, "-c", WRITERS, str(path)]
    root = str(Path(__file__).parents[2])
    pause = random.Random(1)
    last_seeds, killed_while_writing = [], 0
    with subprocess.Popen(order, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writers:
        assert writers.stdin is not None
        assert writers.stdout is not None
        for number in range(30):
            print("another", file=writers.stdin, flush=True)
            pid = int(writers.stdout.readline())
            if number % 3:
                time.sleep(pause.uniform(0, 0.05))
            else:  # in the middle, however slow the machine is
                Deadline.after(10, "a draft").wait_until(lambda: any(tmp_path.glob(".r.h5.*")), 0.0005)
            os.kill(pid, signal.SIGKILL)
            assert writers.stdout.readline() == "killed\n"
            killed_while_writing += len(list(tmp_path.glob(".r.h5.*"))) > 0
            record = read_record(path)
            assert len(record.terminals) == 4000
            last_seeds.append(record.seed)
    assert max(last_seeds) > 0
    assert killed_while_writing > 0
    write_record(small(), path)
    assert [file.name for file in tmp_path.iterdir()] == ["r.h5"], "drafts of killed writers are removed"


def test_a_full_disk_keeps_the_earlier_record(tmp_path: Path) -> None:
    path = tmp_path / "r.h5"
    write_record(small(seed=5), path)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limit[1]))
        with pytest.raises(RecordError, match="cannot write"):
            write_record(small(seed=6, terminals=200_000), path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert read_record(path).seed == 5
    assert [file.name for file in tmp_path.iterdir()] == ["r.h5"]
