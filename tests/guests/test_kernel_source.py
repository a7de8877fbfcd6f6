"""Which source is taken, and what is said of one that is none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import HostError, InputError
from hostemu.guests import kernel_source
from hostemu.guests.kernel_source import Source, find_source, packaged_source, source_version, unpack, version_key
from tests.guests.fake_source import VERSION, fake_tree, packed

needs_xz = pytest.mark.skipif(shutil.which("xz") is None, reason="not found: xz")


@given(st.lists(st.lists(st.integers(0, 999), min_size=2, max_size=4).map(tuple), min_size=1))
def test_versions_are_ordered_as_numbers(versions: list[tuple[int, ...]]) -> None:
    texts = [f"linux-source-{'.'.join(map(str, version))}.tar" for version in versions]
    assert [version_key(text) for text in sorted(texts, key=version_key)] == sorted(versions)


def test_the_newest_package_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_source, "PACKAGED", tmp_path)
    assert packaged_source() is None
    for name in (
        "linux-source-6.9.tar.xz",
        "linux-source-6.12.tar.xz",
        "linux-source-6.1.tar.gz",
        "linux-patch-9.xz",
    ):
        (tmp_path / name).write_text(name)
    assert packaged_source() == tmp_path / "linux-source-6.12.tar.xz"
    assert find_source().path == tmp_path / "linux-source-6.12.tar.xz"


def test_without_a_source_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_source, "PACKAGED", tmp_path)
    with pytest.raises(HostError, match="linux-source"):
        find_source()


@needs_xz
def test_a_packed_source_is_unpacked(tmp_path: Path) -> None:
    archive = packed(fake_tree(tmp_path / "linux"))
    with (tmp_path / "lock").open("w") as lock:
        unpack(find_source(archive), tmp_path / "tree", lock.fileno())
    assert source_version(tmp_path / "tree") == VERSION
    assert find_source(archive) == find_source(archive)


def test_a_changed_tree_is_another_source(tmp_path: Path) -> None:
    tree = fake_tree(tmp_path / "linux")
    first = find_source(tree)
    assert first.is_tree
    assert find_source(tree) == first
    os.utime(tree / "main.c", ns=(1, 1))
    assert find_source(tree).sha256 != first.sha256


def test_a_tree_that_has_been_built_in_is_refused(tmp_path: Path) -> None:
    tree = fake_tree(tmp_path / "linux")
    (tree / ".config").touch()
    with pytest.raises(InputError, match="mrproper"):
        find_source(tree)


def test_what_is_no_source_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        find_source(tmp_path / "nothing")
    with pytest.raises(InputError, match="is no kernel source"):
        find_source(tmp_path)


@needs_xz
def test_an_archive_of_something_else_is_said(tmp_path: Path) -> None:
    (tmp_path / "stuff").mkdir()
    (tmp_path / "stuff" / "note").write_text("no kernel")
    (tmp_path / "letter").write_text("no archive")
    with (tmp_path / "lock").open("w") as lock:
        with pytest.raises(InputError, match="an archive of something else"):
            unpack(Source(packed(tmp_path / "stuff"), ""), tmp_path / "one", lock.fileno())
        with pytest.raises(InputError, match="does not look like a tar archive"):
            unpack(Source(tmp_path / "letter", ""), tmp_path / "two", lock.fileno())
