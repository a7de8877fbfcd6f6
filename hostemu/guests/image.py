"""Makes the file system that a guest boots into, from this machine's own files.

It is an initramfs: a cpio archive ("newc", Linux: driver-api/early-userspace/buffer-format), compressed, that the
guest's kernel unpacks into memory.  It holds the agent as /init, busybox where this machine has it, and the programs
that are asked for, each with the libraries that it needs, at the paths where they are here.
"""

from __future__ import annotations

import gzip
import hashlib
import stat
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from hostemu.base.cache import cache_dir, whole_file
from hostemu.base.errors import InputError
from hostemu.base.packages import how_to_install, location, packages_for
from hostemu.guests.api import GuestSpec
from hostemu.guests.toolchain import NATIVE, compiled

AGENT = "/init"
OWN_FOLDER = "/own"
"""Where a guest's programs run, and its files are put."""

HOST_FOLDER = "/host"
"""Where the host's file system is mounted, in guests that have it."""

FOLDERS = ("bin", "dev", "own", "host", "proc", "sys", "tmp", "sbin", "etc")
APPLETS = tuple(
    word
    for line in (
        "awk cat chmod cp cut date dd df dmesg du echo env false find free grep head hostname id ifconfig ip kill",
        "killall ln ls md5sum mkdir mount mv nc netstat nproc ping printf ps pwd rm sed seq sh sleep sort stat stty",
        "sync sysctl tail tee test time top touch tr traceroute true umount uname uptime vi wc wget which xargs yes",
    )
    for word in line.split()
)
"""What busybox is also called by in a guest."""

_ELF = b"\x7fELF"
_TRAILER = "TRAILER!!!"
COMPRESSION = 6


@dataclass(frozen=True)
class Entry:
    """One file of an image.  mode: with the file's type, as in struct stat.  device: major and minor number."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


LAST = Entry("complete", stat.S_IFREG | 0o444)
"""By this the agent knows that all of the image has found room: a kernel goes on with what it has unpacked."""


def agent_program() -> Path:
    """The guest's process 1, compiled; HostError when this machine cannot."""
    return compiled("agent", sorted(NATIVE.glob("*.c")))


def image_for(spec: GuestSpec, modules: Sequence[tuple[str, bytes]] = ()) -> Path:
    """The image of a guest, from the cache when it was made before.

    modules: name and content of those of its kernel, in the order of loading.

    Raises InputError for a program that cannot be taken, HostError when the agent cannot be compiled.
    """
    return _image(spec.shell, spec.programs, tuple(sorted(spec.files.items())), tuple(modules))


@lru_cache(maxsize=64)
def _image(
    shell: bool,
    programs: tuple[str, ...],
    files: tuple[tuple[str, Path], ...],
    modules: tuple[tuple[str, bytes], ...],
) -> Path:
    """As image_for; a run starts hundreds of guests with the same image."""
    wanted = {f"/bin/{Path(name).name}": find_program(name) for name in programs} | dict(files)
    if AGENT in wanted:
        raise InputError(f"a guest's {AGENT} is its agent", expected="another path", found=str(wanted[AGENT]))
    asked = [entry for item in sorted(wanted.items()) for entry in _program(*item)]
    entries = [*_system(), *asked, *_settings(), *(_busybox() if shell else ()), *_modules(modules)]
    archive = cpio([*_once(entries), LAST])
    path = cache_dir("images") / f"{hashlib.sha256(archive).hexdigest()[:16]}.cpio.gz"
    if not path.exists():
        with whole_file(path) as draft:
            draft.write_bytes(gzip.compress(archive, COMPRESSION, mtime=0))
    return path


def cpio(entries: Iterable[Entry]) -> bytes:
    """The archive of these files, folders before what is in them; the same files make the same bytes."""
    parts = [_packed(number, entry) for number, entry in enumerate(entries, 1)]
    return b"".join([*parts, _packed(0, Entry(_TRAILER, 0))])


def _packed(number: int, entry: Entry) -> bytes:
    name = entry.name.encode() + b"\0"
    fields = (number, entry.mode, 0, 0, 1, 0, len(entry.content), 0, 0, *entry.device, len(name), 0)
    head = b"070701" + "".join(f"{value:08x}" for value in fields).encode() + name
    return _aligned(head) + _aligned(entry.content)


def _aligned(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def find_program(name: str) -> Path:
    """A command of this machine; InputError, with the package, when there is none."""
    path = location(name)
    if path is None:
        raise InputError(
            f"a guest cannot have {name}",
            expected="a command of this machine",
            found="none",
            hint=how_to_install(packages_for([name])),
        )
    return Path(path)


def _modules(modules: Sequence[tuple[str, bytes]]) -> Iterator[Entry]:
    """Modules of the kernel, and the list by which the agent loads them."""
    if not modules:
        return
    yield Entry("modules", stat.S_IFDIR | 0o755)
    for name, content in modules:
        yield Entry(f"modules/{name}", stat.S_IFREG | 0o644, content)
    yield Entry("modules/order", stat.S_IFREG | 0o644, "".join(f"/modules/{name}\n" for name, _ in modules).encode())


def _system() -> Iterator[Entry]:
    for folder in FOLDERS:
        yield Entry(folder, stat.S_IFDIR | 0o755)
    yield Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))  # the kernel opens it before there is a /dev
    yield Entry("init", stat.S_IFREG | 0o755, agent_program().read_bytes())


def _settings() -> Iterator[Entry]:
    yield Entry("etc/passwd", stat.S_IFREG | 0o644, b"root:x:0:0:root:/:/bin/sh\n")
    yield Entry("etc/group", stat.S_IFREG | 0o644, b"root:x:0:\n")
    yield Entry("etc/hosts", stat.S_IFREG | 0o644, b"127.0.0.1 localhost\n::1 localhost\n")


def _busybox() -> Iterator[Entry]:
    busybox = location("busybox")
    if busybox is not None:
        yield from _program("/bin/busybox", Path(busybox))
        for applet in APPLETS:
            yield Entry(f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox")


def _program(name: str, source: Path) -> Iterator[Entry]:
    """A program under its name in the guest, and the libraries that it needs."""
    try:
        content = source.read_bytes()
    except OSError as error:
        raise InputError(
            f"cannot put {source} into an image: {error.strerror}", expected="a program of this machine"
        ) from error
    yield from _folders(name)
    yield Entry(name.lstrip("/"), stat.S_IFREG | 0o755, content)
    if content.startswith(_ELF):
        for library in libraries(source):
            yield from _folders(str(library))
            yield Entry(str(library).lstrip("/"), stat.S_IFREG | 0o755, library.read_bytes())


def _folders(name: str) -> Iterator[Entry]:
    for parent in reversed(PurePosixPath(name.lstrip("/")).parents):
        if str(parent) != ".":
            yield Entry(str(parent), stat.S_IFDIR | 0o755)


def libraries(program: Path) -> list[Path]:
    """The shared libraries and the loader that a program needs, as ldd(1) lists them; none for a static one."""
    said = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    paths = []
    for line in said.stdout.splitlines() if said.returncode == 0 else []:
        words = line.split()
        if "not found" in line:
            raise InputError(f"cannot put {program} into an image", found=line.strip(), hint="install that library")
        paths += [Path(word) for word in words if word.startswith("/")][:1]
    return paths


def _once(entries: Iterable[Entry]) -> list[Entry]:
    """The entries without repetitions; a path with two contents is kept with the first one."""
    kept: dict[str, Entry] = {}
    for entry in entries:
        kept.setdefault(entry.name, entry)
    return list(kept.values())
