"""Symbols of ELF files: as nm says them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hostemu.guests.symbols import symbol_address
from hostemu.guests.toolchain import compiled

SOURCE = "int wanted(int x) { return x + 1; } int main(void) { return wanted(-1); }"


@pytest.mark.skipif(shutil.which("nm") is None, reason="not found: nm")
def test_addresses_are_those_that_nm_finds(tmp_path: Path) -> None:
    source = tmp_path / "program.c"
    source.write_text(SOURCE)
    program = tmp_path / "program"
    subprocess.run(["cc", "-O0", "-o", program, source], check=True)
    rows = (
        line.split()
        for line in subprocess.run(["nm", program], capture_output=True, text=True, check=True).stdout.splitlines()
    )
    expected = {row[2]: int(row[0], 16) for row in rows if len(row) == 3}
    for name in ("wanted", "main"):
        assert symbol_address(program, name) == expected[name]
    assert symbol_address(program, "unwanted") is None


def test_without_symbols_there_are_no_addresses(tmp_path: Path) -> None:
    source = tmp_path / "program.c"
    source.write_text(SOURCE)
    assert symbol_address(compiled("no-symbols", [source]), "wanted") is None


@pytest.mark.parametrize(
    "content", [b"", b"\x7fELF", b"\x7fELF\x02\x01" + bytes(200), Path(sys.executable).name.encode()]
)
def test_other_files_have_no_symbols(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert symbol_address(path, "main") is None
