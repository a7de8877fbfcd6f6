"""Programs that are there or missing, by the folders on the path."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostemu.base import packages
from hostemu.runner.tools import TOOLS, Tool, install_hint


def add(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on the path, except sbin."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_all_needs_must_be_there(bin_folder: Path) -> None:
    tool = Tool("pair", "a test", ("hostemu-one", "hostemu-two"))
    add(bin_folder, "hostemu-one")
    assert tool.found() == ("hostemu-one, hostemu-two", ["hostemu-two"])
    add(bin_folder, "hostemu-two")
    assert tool.found() == ("hostemu-one, hostemu-two", [])


def test_of_alternatives_one_is_enough_and_the_first_is_to_be_got(bin_folder: Path) -> None:
    tool = Tool("either", "a test", ("hostemu-best", "hostemu-good"), any_of=True)
    assert tool.found() == ("", ["hostemu-best"])
    add(bin_folder, "hostemu-good")
    assert tool.found() == (f"{bin_folder}/hostemu-good", [])
    add(bin_folder, "hostemu-best")
    assert tool.found() == (f"{bin_folder}/hostemu-best", [])


def test_a_program_that_may_not_be_run_is_not_there(bin_folder: Path) -> None:
    (bin_folder / "hostemu-one").write_text("data")
    assert Tool("one", "a test", ("hostemu-one",)).found() == ("", ["hostemu-one"])


def test_a_file_is_found_by_its_path(bin_folder: Path) -> None:
    (bin_folder / "header.h").write_text("")
    there, absent = f"{bin_folder}/header.h", f"{bin_folder}/absent.h"
    assert packages.location(there) == there
    assert packages.missing([there, absent]) == [absent]


def test_every_program_has_a_package_and_the_hint_names_each_once() -> None:
    needs = [need for tool in TOOLS for need in tool.needs]
    assert set(needs) <= set(packages.DEBIAN)
    hint = install_hint(["qemu-system-x86_64", "uml_switch", "tbench", "cc", "gcc"])
    assert hint.split().count("gcc") == 1
    assert all(name in hint for name in ("qemu-system-x86", "uml-utilities", "dbench"))
