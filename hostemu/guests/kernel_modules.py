"""The modules that a distribution's kernel needs to be a guest: they go into the image, and the agent loads them.

A lean kernel has everything built in.  Names in modules.builtin and in a module's "depends": kmod's modinfo(8).
"""

from __future__ import annotations

import lzma
import subprocess
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from hostemu.base.errors import HostError, InputError
from hostemu.guests.kernels import Kernel

NEEDED = ("virtio_pci", "virtio_console", "virtio_net")
NEEDED_TO_SHARE = ("9pnet_virtio", "9p")
SYSTEM = Path("/lib/modules")
SUFFIXES = (".ko", ".ko.xz", ".ko.zst")


def modules_for(kernel: Kernel, *, shares: bool) -> list[tuple[str, bytes]]:
    """Name and content of each module that a guest of this kernel needs, in the order in which they load.

    shares: folders of the host's are to be mounted, too.  None are found for a kernel that has no folder of modules.
    InputError for a kernel that has neither module nor built-in code of a name.
    """
    if kernel.flavour == "lean":
        return []
    folder = _folder(kernel)
    if folder is None:
        return []
    wanted = (*NEEDED, *NEEDED_TO_SHARE) if shares else NEEDED
    return [(path.name.split(".")[0], _content(path)) for path in _ordered(folder, wanted)]


def _folder(kernel: Kernel) -> Path | None:
    """Beside the kernel's own /boot, or the system's."""
    candidates = (kernel.path.parent.parent / "lib/modules" / kernel.version, SYSTEM / kernel.version)
    return next((path for path in candidates if path.is_dir()), None)


def _plain(name: str) -> str:
    return name.replace("-", "_")


@lru_cache(maxsize=4)
def _files(folder: Path) -> dict[str, Path]:
    return {_plain(path.name.split(".")[0]): path for path in folder.rglob("*.ko*") if path.name.endswith(SUFFIXES)}


@lru_cache(maxsize=4)
def _built_in(folder: Path) -> frozenset[str]:
    listed = folder / "modules.builtin"
    names = listed.read_text().split() if listed.exists() else []
    return frozenset(_plain(Path(name).stem) for name in names)


def _ordered(folder: Path, wanted: Iterable[str]) -> list[Path]:
    """The files of these modules, each after those that it depends on."""
    order: dict[str, Path] = {}

    def visit(name: str) -> None:
        if name in order or name in _built_in(folder):
            return
        path = _files(folder).get(name)
        if path is None:
            raise InputError(
                f"the kernel of {folder} cannot be a guest",
                expected=f"module {name}, or the same built in",
                found="neither",
                hint="use a kernel that `hostemu kernel build x86` makes",
            )
        for other in dependencies(_content(path)):
            visit(other)
        order[name] = path

    for name in wanted:
        visit(name)
    return list(order.values())


def dependencies(module: bytes) -> Iterator[str]:
    """The names in the "depends" of a module's section .modinfo."""
    at = module.find(b"\0depends=")
    if at >= 0:
        text = module[at + len(b"\0depends=") :].split(b"\0", 1)[0].decode()
        yield from (_plain(name) for name in text.split(",") if name)


def _content(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name.endswith(".xz"):
        return lzma.decompress(data)
    if path.name.endswith(".zst"):
        return _unzstd(path)
    return data


def _unzstd(path: Path) -> bytes:
    try:
        return subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise HostError(f"cannot unpack {path}", found=str(error), hint="install zstd") from error
