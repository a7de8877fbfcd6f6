"""Finding a kernel: what is given, what was built, what the distribution has."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from hostemu.base.errors import HostError, InputError
from hostemu.guests import kernels
from hostemu.guests.kernels import BuildRecord, Kernel, find_kernel, fragment_sha256, lean_kernels
from tests.guests.fake_source import bzimage

DIGEST = "0123456789abcdef" * 4


@pytest.fixture(autouse=True)
def empty_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without kernels: an empty cache, an empty /boot, and a path with nothing on it."""
    for name in ("cache", "boot", "bin"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOSTEMU_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(kernels, "BOOT", tmp_path / "boot")


def install_lean(version: str, *, at_s: int, fragment: str | None = None) -> Path:
    """Put a lean kernel into the cache, as a build at that time would have."""
    folder = kernels.kernels_dir() / f"x86-{version}"
    folder.mkdir()
    image = folder / "bzImage"
    image.write_bytes(bzimage(version))
    record = BuildRecord(
        kind="x86",
        version=version,
        sha256=kernels.file_sha256(image),
        fragment_sha256=fragment or fragment_sha256("x86"),
        config_sha256=DIGEST,
        source="linux.tar",
        source_sha256=DIGEST,
        compiler="gcc 12",
        seconds=200.0,
    )
    (folder / kernels.RECORD_NAME).write_text(json.dumps(asdict(record)))
    os.utime(folder / kernels.RECORD_NAME, (at_s, at_s))
    return image


def test_a_given_kernel_comes_first(tmp_path: Path) -> None:
    install_lean("6.1.140", at_s=1)
    given = tmp_path / "mine"
    given.write_bytes(bzimage("6.12.5-mine"))
    found = find_kernel("x86", given)
    assert (found.flavour, found.version, found.path) == ("given", "6.12.5-mine", given)
    assert found.sha256 == kernels.file_sha256(given)


def test_a_given_file_that_is_no_kernel_is_not_replaced_by_another(tmp_path: Path) -> None:
    install_lean("6.1.140", at_s=1)
    (tmp_path / "mine").write_text("no kernel")
    with pytest.raises(InputError, match="no x86 kernel"):
        find_kernel("x86", tmp_path / "mine")


def test_the_lean_kernel_that_was_asked_for_last_comes_next(tmp_path: Path) -> None:
    (tmp_path / "boot" / "vmlinuz-7.0").write_bytes(bzimage("7.0"))
    image = install_lean("6.1.140", at_s=2)
    install_lean("6.12.5", at_s=1)
    found = find_kernel("x86")
    assert (found.flavour, found.version, found.path) == ("lean", "6.1.140", image)
    assert found.least_memory_bytes == 32 << 20
    assert [lean.kernel.version for lean in lean_kernels("x86")] == ["6.1.140", "6.12.5"]


def test_a_lean_kernel_of_another_configuration_is_listed_but_not_booted() -> None:
    install_lean("6.1.140", at_s=2, fragment=DIGEST)
    install_lean("6.12.5", at_s=1)
    assert find_kernel("x86").version == "6.12.5"
    assert [lean.current for lean in lean_kernels("x86")] == [False, True]


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: (folder / "bzImage").write_bytes(b"half"),
        lambda folder: (folder / "bzImage").unlink(),
        lambda folder: (folder / kernels.RECORD_NAME).write_text("{"),
        lambda folder: (folder / kernels.RECORD_NAME).write_text('{"kind": "x86"}'),
        lambda folder: (folder / kernels.RECORD_NAME).write_text("[1, 2]"),
        lambda folder: (folder / kernels.RECORD_NAME).write_bytes(b"\xff\xfe"),
    ],
)
def test_a_damaged_lean_kernel_is_none(damage: object) -> None:
    assert callable(damage)
    damage(install_lean("6.1.140", at_s=1).parent)
    assert lean_kernels("x86") == []
    with pytest.raises(HostError):
        find_kernel("x86")


def test_the_distributions_newest_readable_kernel_comes_last(tmp_path: Path) -> None:
    for version in ("6.1.0-9-amd64", "6.1.0-37-amd64", "5.10.0-40-amd64"):
        (tmp_path / "boot" / f"vmlinuz-{version}").write_bytes(bzimage(version))
    (tmp_path / "boot" / "vmlinuz-7.0-broken").write_text("nothing")
    found = find_kernel("x86")
    assert (found.flavour, found.version) == ("distribution", "6.1.0-37-amd64")
    assert found.least_memory_bytes > 32 << 20


@pytest.mark.skipif(shutil.which("gcc") is None, reason="not found: gcc")
def test_the_distributions_user_mode_kernel_is_found_on_the_path(tmp_path: Path) -> None:
    source = tmp_path / "main.c"
    source.write_text('#include <stdio.h>\nint main(void) { return puts("6.1.176") < 0; }\n')
    environment = {"PATH": os.defpath}
    subprocess.run(["gcc", "-o", tmp_path / "bin" / "linux.uml", source], check=True, env=environment)
    found = find_kernel("uml")
    assert (found.flavour, found.version, found.kind) == ("distribution", "6.1.176", "uml")


@pytest.mark.parametrize(("kind", "package"), [("uml", "user-mode-linux"), ("x86", "linux-image")])
def test_without_any_kernel_it_is_said_how_to_get_one(kind: kernels.Kind, package: str) -> None:
    with pytest.raises(HostError) as caught:
        find_kernel(kind)
    assert f"hostemu kernel build {kind}" in str(caught.value)
    assert package in str(caught.value)


def test_a_kernel_becomes_plain_data() -> None:
    kernel = Kernel(Path("/boot/vmlinuz"), "x86", "given", "6.1", DIGEST)
    assert json.loads(json.dumps(kernel.as_json())) == {
        "path": "/boot/vmlinuz",
        "kind": "x86",
        "flavour": "given",
        "version": "6.1",
        "sha256": DIGEST,
    }
