"""Replacing files: accidents leave the earlier content, and what dead writers left goes; a living one's stays."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostemu.records import atomic
from hostemu.records.atomic import replace_file


def files(folder: Path) -> list[str]:
    """Names of all files in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for data in (b"first", b"", b"third" * 100_000):
        replace_file(path, data)
        assert path.read_bytes() == data
    assert files(tmp_path) == ["file"]


def test_the_users_umask_holds(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        replace_file(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("step", ["fsync", "fstat"])
def test_a_failure_at_any_step_keeps_the_earlier_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = tmp_path / "file"
    replace_file(path, b"earlier")

    def fail(_descriptor: int) -> None:
        raise OSError(5, "made up")

    monkeypatch.setattr(atomic.os, step, fail)
    with pytest.raises(OSError, match="made up"):
        replace_file(path, b"later")
    monkeypatch.undo()
    assert path.read_bytes() == b"earlier"
    replace_file(path, b"last")
    assert files(tmp_path) == ["file"]


def test_a_folder_in_the_way_is_an_error_without_a_draft(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path / "file", b"x")
    assert files(tmp_path) == ["file"]


def test_drafts_of_the_dead_go_and_those_of_the_living_and_of_other_files_stay(tmp_path: Path) -> None:
    for name in (".file.dead.part", ".file.alive.part", ".other.dead.part", ".file.part", "file.dead.part"):
        (tmp_path / name).write_bytes(b"draft")
    with (tmp_path / ".file.alive.part").open("rb") as alive:
        fcntl.flock(alive, fcntl.LOCK_EX)
        replace_file(tmp_path / "file", b"x")
    assert files(tmp_path) == sorted([".file.alive.part", ".other.dead.part", ".file.part", "file.dead.part", "file"])


FULL = """
import subprocess, sys
from pathlib import Path
from hostemu.base.errors import RecordError
from hostemu.records import read_record, write_record
from tests.records.test_store import small
folder = Path(sys.argv[1])
subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128k", "none", str(folder)], check=True)
path = folder / "r.h5"
write_record(small(seed=5), path)
(folder / "ballast").write_bytes(bytes(96 * 1024))
try:
    write_record(small(seed=6, terminals=20_000), path)
except RecordError as error:
    print(error)
print("kept", read_record(path).seed, sorted(file.name for file in folder.iterdir()))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
def test_a_disk_that_is_full_keeps_the_earlier_record_and_is_named(tmp_path: Path) -> None:
    command = ["unshare", "--mount", "--propagation", "private", sys.executable, "-c", FULL, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    if "unshare failed" in done.stderr or "mount: " in done.stderr:
        pytest.skip(f"no file systems may be mounted here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert "No space left on device" in done.stdout
    assert "free some space" in done.stdout
    assert "kept 5 ['ballast', 'r.h5']" in done.stdout
