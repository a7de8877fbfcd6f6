"""The cache: whole files or none, and a clear word when it cannot be written."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from hostemu.base.cache import VARIABLE, cache_dir, whole_file
from hostemu.base.errors import HostError

ROUNDS = 40
SIZE = 200_000


def test_the_variable_names_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "given"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    folder = cache_dir("a", "b")
    assert folder == tmp_path / "given" / "a" / "b"
    assert folder.is_dir()


@pytest.mark.parametrize(
    ("xdg", "expected"), [("xdg", "xdg/hostemu/x"), (None, "home/.cache/hostemu/x"), ("", "home/.cache/hostemu/x")]
)
def test_without_it_the_users_cache_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xdg: str | None, expected: str
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    if xdg is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / xdg) if xdg else "")
    assert cache_dir("x") == tmp_path / expected


def test_a_home_is_meant_by_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(VARIABLE, "~/mine")
    assert cache_dir() == tmp_path / "mine"


def write_in_folder(folder: Path) -> None:
    with whole_file(folder / "file") as draft:
        draft.write_text("x")


def make_folder(_folder: Path) -> None:
    cache_dir("images")


@pytest.mark.parametrize("use", [write_in_folder, make_folder])
@pytest.mark.parametrize("place", ["a file", "the kernel's"])
def test_a_cache_that_cannot_be_written_is_the_machines_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, use: Callable[[Path], None], place: str
) -> None:
    """Root may write everywhere but in a file's place and in the kernel's own folders."""
    (tmp_path / "occupied").write_text("")
    folder = tmp_path / "occupied" if place == "a file" else Path("/proc/self")
    monkeypatch.setenv(VARIABLE, str(folder))
    with pytest.raises(HostError, match="cannot write in the cache folder") as caught:
        use(folder)
    assert caught.value.exit_code == 3
    assert VARIABLE in str(caught.value.hint)
    assert str(folder) in str(caught.value)


def test_a_file_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with whole_file(path) as draft:
        draft.write_text("half")
        assert not path.exists()
        draft.write_text("whole")
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_draft_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(FileNotFoundError), whole_file(path) as draft:
        draft.write_bytes(b"half" + (tmp_path / "absent").read_bytes())
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def fill(path: Path, letter: str) -> None:
    """Write the file again and again, in two steps."""
    for _ in range(ROUNDS):
        with whole_file(path) as draft, draft.open("w") as file:
            file.write(letter * (SIZE // 2))
            file.flush()
            file.write(letter * (SIZE // 2))


def test_two_processes_write_and_a_third_reads_whole_files_only(tmp_path: Path) -> None:
    path, spawn = tmp_path / "file", multiprocessing.get_context("spawn")
    fill(path, "a")
    writers = [spawn.Process(target=fill, args=(path, letter)) for letter in "bc"]
    for writer in writers:
        writer.start()
    seen = set()
    while any(writer.is_alive() for writer in writers):
        text = path.read_text()
        assert text == text[0] * SIZE
        seen.add(text[0])
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert path.read_text()[0] in "bc"
    assert list(tmp_path.iterdir()) == [path]
