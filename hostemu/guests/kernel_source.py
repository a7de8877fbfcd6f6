"""The source of lean kernels: the distribution's package, or a tarball or folder of the user's."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hostemu.base.errors import HostError, InputError
from hostemu.base.packages import how_to_install
from hostemu.lab.kernel import die_with_parent

PACKAGED = Path("/usr/src")
PACKAGE = "linux-source"
_TARBALL = re.compile(r"linux-source-(\d+(?:\.\d+)*)\.tar(?:\.\w+)?")
NO_SPACE = os.strerror(errno.ENOSPC)


@dataclass(frozen=True)
class Source:
    """A kernel source; sha256: of a tarball, or of a folder's place and its files' names, sizes and times."""

    path: Path
    sha256: str

    @property
    def is_tree(self) -> bool:
        """Whether it lies unpacked in a folder."""
        return self.path.is_dir()


def version_key(text: str) -> tuple[int, ...]:
    """Orders version numbers: 6.12 after 6.1.192."""
    return tuple(map(int, re.findall(r"\d+", text)))


def packaged_source() -> Path | None:
    """The newest kernel source that a package of the distribution has put in its place."""
    found = [(version_key(match[1]), path) for path in PACKAGED.glob("*") if (match := _TARBALL.fullmatch(path.name))]
    return max(found)[1] if found else None


def find_source(given: Path | None = None) -> Source:
    """The given source, else the distribution's.  InputError: the given one is none; HostError: there is none."""
    path = given or packaged_source()
    if path is None:
        raise HostError(
            "no kernel source",
            expected=f"{PACKAGED}/linux-source-*.tar.*",
            found="none",
            hint=f"{how_to_install([PACKAGE])}   (or name a source: --source FILE)",
        )
    try:
        return Source(path.resolve(), _tree_digest(path) if path.is_dir() else _file_digest(path))
    except OSError as error:
        raise InputError(f"cannot read the kernel source {path}: {error.strerror}") from error


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _tree_digest(tree: Path) -> str:
    """Of what changes with every change to the tree, without reading 1.4 GB; InputError when it cannot be built."""
    if not is_source(tree):
        raise InputError(
            f"{tree} is no kernel source", expected="a Makefile with VERSION and a Kconfig", found="neither"
        )
    if (tree / ".config").exists() or (tree / "include" / "config").exists():
        raise InputError(
            f"{tree} has been built in, and a clean source is needed", hint=f"make -C {tree} mrproper, or a tarball"
        )
    digest = hashlib.sha256(os.fsencode(tree.resolve()))
    for folder, folders, files in os.walk(tree):
        folders[:] = sorted(name for name in folders if name != ".git")
        for name in sorted(files):
            path = Path(folder, name)
            status = path.lstat()
            digest.update(f"{path.relative_to(tree)}\0{status.st_size}\0{status.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def is_source(tree: Path) -> bool:
    """Whether a folder looks like a kernel source."""
    return (tree / "Kconfig").is_file() and source_version(tree) is not None


def source_version(tree: Path) -> str | None:
    """VERSION.PATCHLEVEL.SUBLEVEL of a source's Makefile; None when it says nothing of the kind."""
    try:
        head = (tree / "Makefile").read_text(errors="replace")[:1000]
    except OSError:
        return None
    match = re.search(r"^VERSION = (\d+)\nPATCHLEVEL = (\d+)\nSUBLEVEL = (\d+)$", head, re.MULTILINE)
    return ".".join(match.groups()) if match else None


def unpack(source: Source, folder: Path, held: int) -> None:
    """Unpack a tarball's one folder as `folder`; held: a descriptor that tar inherits, with the lock on it.

    InputError: it is no kernel source; HostError: the disk is full.
    """
    folder.mkdir()
    command = ["tar", "-xf", str(source.path), "-C", str(folder), "--strip-components=1", "--no-same-owner"]
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
        pass_fds=(held,),
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    if NO_SPACE in done.stderr:
        raise disk_full(folder)
    if done.returncode or not is_source(folder):
        said = " | ".join(done.stderr.strip().splitlines()[:3])
        raise InputError(
            f"{source.path} is no kernel source",
            expected="a tar archive with one folder, and in it a Makefile with VERSION and a Kconfig",
            found=said or "an archive of something else",
        )


def disk_full(folder: Path) -> HostError:
    """The error for a disk that filled up during the build."""
    return HostError(
        f"the disk is full: {NO_SPACE} in {folder}", hint="free some space, or set HOSTEMU_CACHE to a larger disk"
    )
