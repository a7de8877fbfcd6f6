"""Finds the kernel that guests boot: a given file, a lean one that was built here, or the distribution's own."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from hostemu.base.cache import cache_dir
from hostemu.base.errors import HostError, InputError
from hostemu.base.packages import how_to_install
from hostemu.guests.kernel_config import fragment_file
from hostemu.guests.kernel_image import KINDS, Kind, file_sha256, identify
from hostemu.guests.kernel_source import version_key

Flavour = Literal["lean", "distribution", "given"]

BOOT = Path("/boot")
UML_PROGRAM = "linux.uml"
IMAGE_NAME: dict[Kind, str] = {"uml": "linux", "x86": "bzImage"}
RECORD_NAME = "kernel.json"
PACKAGES: dict[Kind, str] = {"uml": "user-mode-linux", "x86": "linux-image-cloud-amd64"}
"""What brings the distribution's own kernel."""

LEAST_MIB: dict[tuple[Kind, bool], int] = {
    ("uml", True): 16,
    ("uml", False): 40,
    ("x86", True): 32,
    ("x86", False): 128,
}
"""Memory that a guest with a RAM disk of 1 MB needs to boot, by kind and whether its kernel is lean.

Tests boot the lean ones in it.  The others are Debian 12's; their modules in the RAM disk want more.
"""


@dataclass(frozen=True)
class Kernel:
    """A kernel file; version: its release, as `uname -r` says it; sha256: of the file."""

    path: Path
    kind: Kind
    flavour: Flavour
    version: str
    sha256: str

    @property
    def least_memory_bytes(self) -> int:
        """The smallest memory with which a guest boots it; of a given kernel nothing better is known."""
        return LEAST_MIB[self.kind, self.flavour == "lean"] << 20

    def as_json(self) -> dict[str, Any]:
        """The kernel as plain data, for records."""
        return {**asdict(self), "path": str(self.path)}


@dataclass(frozen=True)
class BuildRecord:
    """What is kept beside a lean kernel: what it was made from, by what, and how long that took."""

    kind: Kind
    version: str
    sha256: str
    fragment_sha256: str
    config_sha256: str
    source: str
    source_sha256: str
    compiler: str
    seconds: float


@dataclass(frozen=True)
class LeanKernel:
    """A lean kernel in the cache; current: it was made with the configuration that this version of hostemu has."""

    kernel: Kernel
    record: BuildRecord
    current: bool


def kernels_dir() -> Path:
    """Where lean kernels are kept."""
    return cache_dir("kernels")


def fragment_sha256(kind: Kind) -> str:
    """Changes when the lean configuration does."""
    return hashlib.sha256(fragment_file(kind).read_bytes()).hexdigest()


def find_kernel(kind: Kind, given: Path | None = None) -> Kernel:
    """The kernel to boot: the given file, else the lean one asked for last, else the distribution's.

    InputError: the given file is no such kernel.  HostError: there is none, with what to do.
    """
    if given is not None:
        return _kernel(kind, given, "given")
    for lean in lean_kernels(kind):
        if lean.current:
            return lean.kernel
    for kernel in distribution_kernels(kind):
        return kernel
    raise HostError(
        f"no {kind} kernel for guests",
        expected="a lean kernel, or the distribution's own",
        found="neither",
        hint=f"hostemu kernel build {kind}   (or: {how_to_install([PACKAGES[kind]])})",
    )


def lean_kernels(kind: Kind) -> list[LeanKernel]:
    """Those in the cache that are whole, the one that was asked for last (see build_kernel) first."""
    found = []
    for path in kernels_dir().glob(f"{kind}-*/{RECORD_NAME}"):
        with suppress(OSError, ValueError, TypeError, KeyError):
            found.append((path.stat().st_mtime_ns, read_lean(path.parent)))
    return [lean for _, lean in sorted(found, key=lambda entry: entry[0], reverse=True)]


def read_lean(folder: Path) -> LeanKernel:
    """The lean kernel that a folder of the cache holds; OSError, ValueError or TypeError when it is not whole."""
    record = BuildRecord(**json.loads((folder / RECORD_NAME).read_text()))
    if record.kind not in KINDS:
        raise ValueError(f"no kind of kernel: {record.kind}")
    image = folder / IMAGE_NAME[record.kind]
    if file_sha256(image) != record.sha256:
        raise ValueError(f"{image} is damaged")
    kernel = Kernel(image, record.kind, "lean", record.version, record.sha256)
    return LeanKernel(kernel, record, record.fragment_sha256 == fragment_sha256(record.kind))


def distribution_kernels(kind: Kind) -> Iterator[Kernel]:
    """The distribution's own that this user may read, the newest first."""
    if kind == "uml":
        program = shutil.which(UML_PROGRAM)
        paths = [] if program is None else [Path(program)]
    else:
        paths = sorted(BOOT.glob("vmlinuz-*"), key=lambda path: version_key(path.name), reverse=True)
    for path in paths:
        with suppress(InputError):
            yield _kernel(kind, path, "distribution")


def _kernel(kind: Kind, path: Path, flavour: Flavour) -> Kernel:
    version = identify(kind, path)
    return Kernel(path.resolve(), kind, flavour, version, file_sha256(path))
