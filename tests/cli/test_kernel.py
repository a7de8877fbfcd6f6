"""`hostemu kernel` as a user runs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostemu.guests.kernel_build import missing_packages
from tests.guests.fake_source import VERSION, fake_tree, packed

ROOT = Path(__file__).resolve().parents[2]
LACKING = missing_packages("uml", Path("linux.tar.xz"))
needs_tools = pytest.mark.skipif(bool(LACKING), reason=f"not installed: {LACKING}")


def hostemu(folder: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run `hostemu kernel ARGUMENTS` with an empty cache in `folder`."""
    (folder / "cwd").mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "hostemu", "kernel", *arguments],
        cwd=folder / "cwd",
        env={**os.environ, "PYTHONPATH": str(ROOT), "HOSTEMU_CACHE": str(folder / "cache"), "COLUMNS": "300", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@needs_tools
def test_a_kernel_is_built_and_then_listed_as_the_one_that_boots(tmp_path: Path) -> None:
    archive = packed(fake_tree(tmp_path / "linux"))
    done = hostemu(tmp_path, "build", "uml", "--source", str(archive), "--jobs", "1", "--json", "kernel.json")
    assert done.returncode == 0, done.stderr
    assert f"lean uml kernel {VERSION}" in done.stdout
    kernel = json.loads((tmp_path / "cwd" / "kernel.json").read_text())
    assert kernel["path"] in done.stdout
    listed = hostemu(tmp_path, "list", "--json", "-")
    assert listed.returncode == 0, listed.stderr
    rows = [row for row in json.loads(listed.stdout) if row["kind"] == "uml"]
    assert rows[0]["sha256"] == kernel["sha256"]
    assert rows[0]["source"] == str(archive)
    assert [row["use"] for row in rows][:1] == ["yes"]
    assert "yes" not in [row["use"] for row in rows][1:]
    table = hostemu(tmp_path, "list").stdout
    assert VERSION in table
    assert "lean" in table


def test_a_machine_without_kernels_lists_none(tmp_path: Path) -> None:
    listed = hostemu(tmp_path, "list", PATH=str(tmp_path))
    assert listed.returncode == 0, listed.stderr
    assert "uml" not in listed.stdout.partition("none:")[0]


@pytest.mark.parametrize("arguments", [["build", "arm"], ["build"], ["build", "uml", "--jobs", "0"]])
def test_wrong_arguments_are_bad_input(tmp_path: Path, arguments: list[str]) -> None:
    assert hostemu(tmp_path, *arguments).returncode == 2


@needs_tools
def test_a_source_that_is_none_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "letter").write_text("no source")
    for source in (tmp_path / "nothing", tmp_path / "letter", tmp_path):
        done = hostemu(tmp_path, "build", "uml", "--source", str(source))
        assert done.returncode == 2
        assert str(source) in done.stderr
        assert "Traceback" not in done.stderr


def test_what_is_missing_is_the_hosts_fault_and_nothing_is_installed(tmp_path: Path) -> None:
    done = hostemu(tmp_path, "build", "uml", PATH=str(tmp_path))
    assert done.returncode == 3
    for word in ("flex", "bison", "gcc", "--install"):
        assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_installed_is_said(tmp_path: Path) -> None:
    done = hostemu(tmp_path, "build", "uml", "--install", PATH=str(tmp_path))
    assert done.returncode == 3
    assert "cannot install packages here" in done.stderr
