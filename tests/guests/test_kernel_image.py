"""What is taken for a kernel, and what is said of a file that is none."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.guests.kernel_image import KINDS, Kind, identify
from tests.guests.fake_source import bzimage

needs_compiler = pytest.mark.skipif(shutil.which("gcc") is None, reason="not found: gcc")


def program(path: Path, body: str) -> Path:
    source = path.with_suffix(".c")
    source.write_text(f"#include <signal.h>\n#include <stdio.h>\n#include <unistd.h>\nint main(void) {{ {body} }}\n")
    subprocess.run(["gcc", "-o", path, source], check=True)
    return path


def refusal(kind: Kind, path: Path) -> str:
    with pytest.raises(InputError) as caught:
        identify(kind, path)
    assert str(path) in caught.value.message
    assert caught.value.expected is not None
    return str(caught.value)


def test_a_boot_image_says_its_version(tmp_path: Path) -> None:
    image = tmp_path / "vmlinuz"
    image.write_bytes(bzimage("6.1.0-37-amd64"))
    assert identify("x86", image) == "6.1.0-37-amd64"


@needs_compiler
def test_a_user_mode_kernel_says_its_version(tmp_path: Path) -> None:
    assert identify("uml", program(tmp_path / "linux", 'puts("6.1.140"); return 0;')) == "6.1.140"


@needs_compiler
@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('puts("ls (GNU coreutils) 9.1"); return 0;', "answers --version with 'ls (GNU coreutils) 9.1', status 0"),
        ('puts("6.1.140"); return 3;', "status 3"),
        ("return kill(getpid(), SIGSEGV);", "status -11"),
    ],
)
def test_another_program_is_no_user_mode_kernel(tmp_path: Path, body: str, found: str) -> None:
    assert found in refusal("uml", program(tmp_path / "linux", body))


@needs_compiler
def test_a_program_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hostemu.guests.kernel_image.VERSION_S", 0.3)
    assert "does not answer --version" in refusal("uml", program(tmp_path / "linux", "pause(); return 0;"))


@needs_compiler
def test_a_kernel_that_may_not_be_executed_is_told_how_to_be(tmp_path: Path) -> None:
    path = program(tmp_path / "linux", 'puts("6.1.140"); return 0;')
    path.chmod(0o644)
    assert f"chmod +x {path}" in refusal("uml", path)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_said(tmp_path: Path, kind: Kind) -> None:
    assert "No such file" in refusal(kind, tmp_path / "nothing")
    assert "a folder" in refusal(kind, tmp_path)
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refusal(kind, tmp_path / "pipe")
    (tmp_path / "empty").touch()
    assert "an empty file" in refusal(kind, tmp_path / "empty")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_said(tmp_path: Path) -> None:
    path = tmp_path / "vmlinuz"
    path.write_bytes(bzimage("6.1.140"))
    path.chmod(0)
    assert "Permission denied" in refusal("x86", path)


def test_each_kind_knows_the_other(tmp_path: Path) -> None:
    image = tmp_path / "bzImage"
    image.write_bytes(bzimage("6.1.140"))
    assert "found: an x86 boot image (bzImage)" in refusal("uml", image)
    assert "found: an ELF file of another kind" in refusal("x86", Path("/bin/true").resolve())


@pytest.mark.parametrize("kind", KINDS)
@given(content=st.binary(max_size=0x400))
def test_no_file_at_all_makes_it_stumble(
    tmp_path_factory: pytest.TempPathFactory, kind: Kind, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(content)
    assert refusal(kind, path)


@given(content=st.binary(max_size=0x800), offset=st.integers(0, 0xFFFF))
def test_a_boot_image_without_a_version_is_none(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, offset: int
) -> None:
    image = bytearray(0x210) + content
    image[0x202:0x206], image[0x20E:0x210] = b"HdrS", offset.to_bytes(2, "little")
    path = tmp_path_factory.mktemp("any") / "file"
    path.write_bytes(image)
    assert "a boot image with the version" in refusal("x86", path)
