"""What a file must be to boot as a guest's kernel, and which version it is."""

from __future__ import annotations

import hashlib
import os
import re
import struct
import subprocess
from pathlib import Path
from typing import Literal

from hostemu.base.errors import InputError

Kind = Literal["uml", "x86"]
KINDS: tuple[Kind, ...] = ("uml", "x86")

EXPECTED: dict[Kind, str] = {
    "uml": "an executable User-mode Linux kernel for x86-64, which answers --version",
    "x86": "a bzImage, as distributions install it in /boot",
}
VERSION_S = 10.0
HEAD_BYTES = 0x200 * 66  # the boot sector and at most 64 sectors of setup code; Documentation/x86/boot.rst
_RELEASE = re.compile(r"\d+\.\d+[\w.+~-]*")
_ELF_X86_64 = 62  # EM_X86_64, elf(5)


def identify(kind: Kind, path: Path) -> str:
    """The release ("6.1.140") of a kernel of that kind; InputError says what the file is instead."""
    try:
        if path.exists() and not path.is_file():
            raise _no_kernel(kind, path, "a folder" if path.is_dir() else "no regular file")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        raise InputError(f"cannot read the kernel {path}: {error.strerror}", expected=EXPECTED[kind]) from error
    return _uml_release(path, head) if kind == "uml" else _bzimage_release(path, head)


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal; OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _bzimage_release(path: Path, head: bytes) -> str:
    """The version string that the boot protocol's header points to; Documentation/x86/boot.rst."""
    if head[0x202:0x206] != b"HdrS":
        raise _no_kernel("x86", path, _what_it_is(head))
    (offset,) = struct.unpack_from("<H", head, 0x20E)
    text = head[0x200 + offset :].partition(b"\0")[0].decode(errors="replace") if offset else ""
    match = _RELEASE.match(text)
    if match is None:
        raise _no_kernel("x86", path, f"a boot image with the version {text[:60]!r}")
    return match[0]


def _uml_release(path: Path, head: bytes) -> str:
    if head[:5] != b"\x7fELF\x02" or len(head) < 64 or struct.unpack_from("<H", head, 18)[0] != _ELF_X86_64:
        raise _no_kernel("uml", path, _what_it_is(head))
    if not os.access(path, os.X_OK):
        raise _no_kernel("uml", path, "a file that may not be executed", f"chmod +x {path}")
    try:
        done = subprocess.run(
            [path.absolute(), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _no_kernel("uml", path, f"a program that does not answer --version ({error})") from error
    said = done.stdout.decode(errors="replace").strip()
    if done.returncode or not _RELEASE.fullmatch(said):
        raise _no_kernel(
            "uml", path, f"a program that answers --version with {said[:60]!r}, status {done.returncode}"
        )
    return said


def _what_it_is(head: bytes) -> str:
    if head[:4] == b"\x7fELF":
        return "an ELF file of another kind (a program, or an unpacked vmlinux)"
    if head[0x202:0x206] == b"HdrS":
        return "an x86 boot image (bzImage)"
    return f"a file that begins with {head[:8]!r}" if head else "an empty file"


def _no_kernel(kind: Kind, path: Path, found: str, hint: str | None = None) -> InputError:
    return InputError(f"{path} is no {kind} kernel", expected=EXPECTED[kind], found=found, hint=hint)
