"""Which package brings what, and what a user is told to type."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostemu.base.errors import HostError
from hostemu.base.packages import DEBIAN, how_to_install, install, is_there, location, missing, packages_for


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder on the path; what is put in it is a command."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def command(folder: Path, name: str, text: str = "#!/bin/sh\nexit 0\n") -> None:
    path = folder / name
    path.write_text(text)
    path.chmod(0o755)


def test_a_command_is_found_on_the_path_and_a_file_where_it_is(tools: Path) -> None:
    command(tools, "hostemu-tool")
    assert location("hostemu-tool") == str(tools / "hostemu-tool")
    assert location(str(tools / "hostemu-tool")) == str(tools / "hostemu-tool")
    assert location(str(tools / "absent")) is None
    assert location("hostemu-absent") is None
    assert is_there("hostemu-tool")
    assert missing(["hostemu-tool", "hostemu-absent", "/no/such/file"]) == ["hostemu-absent", "/no/such/file"]


def test_a_file_that_is_no_program_is_no_command(tools: Path) -> None:
    (tools / "hostemu-tool").write_text("text")
    assert missing(["hostemu-tool"]) == ["hostemu-tool"]


def test_administrators_commands_are_found_by_ordinary_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    folders = [Path(name) for name in ("/usr/local/sbin", "/usr/sbin", "/sbin")]
    name = next(path.name for folder in folders for path in sorted(folder.glob("*")) if os.access(path, os.X_OK))
    assert is_there(name)


def test_packages_are_named_once_in_order_and_the_unknown_by_themselves() -> None:
    assert packages_for(["xz", "gcc", "cc", "hostemu-unknown", "bc"]) == ["bc", "gcc", "hostemu-unknown", "xz-utils"]
    assert packages_for([]) == []
    assert all(packages_for([need]) == [DEBIAN[need]] for need in DEBIAN)


def test_the_user_is_told_one_line_to_type(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert how_to_install(["a", "b"]) == "install what your system calls a b (Debian's names)"
    command(tools, "apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert how_to_install(["a", "b"]) == "apt-get install --no-install-recommends a b"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert how_to_install(["a", "b"]) == "sudo apt-get install --no-install-recommends a b"


def test_nothing_is_installed_where_that_is_impossible(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install([])
    with pytest.raises(HostError) as caught:
        install(["a"])
    assert "a" in str(caught.value.hint)
    command(tools, "apt-get")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(HostError, match="cannot install packages here") as caught:
        install(["a"])
    assert caught.value.hint == "sudo apt-get install --no-install-recommends a"


def test_the_list_is_renewed_then_the_packages_come(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    log = tools / "log"
    command(tools, "apt-get", f'#!/bin/sh\necho "$DEBIAN_FRONTEND $@" >> {log}\n')
    install(["a", "b"])
    assert log.read_text().splitlines() == [
        "noninteractive update -qq",
        "noninteractive install -y -qq --no-install-recommends a b",
    ]


def test_an_installation_that_fails_says_why(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    command(tools, "apt-get", "#!/bin/sh\necho no network >&2\necho E: Unable to locate package a >&2\nexit 100\n")
    with pytest.raises(HostError, match="cannot install a") as caught:
        install(["a"])
    assert "Unable to locate package a" in str(caught.value.found)
    assert "apt-get install" in str(caught.value.hint)
