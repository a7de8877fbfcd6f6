"""Compiles the small C programs that run inside guests: static, for the smallest memory, once per version.

And the library that is loaded into a virtualiser.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hostemu.base.cache import cache_dir, whole_file
from hostemu.base.errors import HostError
from hostemu.base.packages import how_to_install

NATIVE = Path(__file__).with_name("native")
"""Sources that every guest program may use."""

FLAGS = (
    "-std=gnu11",
    "-Os",
    "-s",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fno-asynchronous-unwind-tables",
    "-ffunction-sections",
    "-fdata-sections",
    "-Wl,--gc-sections",
)
LIBRARIES = ("-lgcc",)
"""What the compiler itself may call, wherever there is no C library."""

PROGRAM = ("-static",)
LIBRARY = ("-shared", "-fPIC", "-nostdlib", "-fno-stack-protector")
"""Of no C library: what loads it has one of its own, and maybe another than the compiler's."""
COMPILERS = ("musl-gcc", "cc", "gcc")
"""In order of preference: musl's programs are a tenth of the size of glibc's."""


@dataclass(frozen=True)
class Compiler:
    """A C compiler that makes static programs; identity: changes when what it makes may change."""

    path: str
    identity: str


def find_compiler() -> Compiler:
    """The best compiler of this machine; HostError, with what to install, when there is none."""
    for name in COMPILERS:
        path = shutil.which(name)
        if path is not None:
            said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            return Compiler(path, f"{name} {said.splitlines()[0] if said else ''}")
    raise HostError(
        "no C compiler: the programs that run inside guests are compiled on this machine",
        expected=" or ".join(COMPILERS),
        found="none of them",
        hint=how_to_install(["musl-tools"]),
    )


def compiled(name: str, sources: Sequence[Path], headers: Sequence[Path] = (), kind: Sequence[str] = PROGRAM) -> Path:
    """The static program made of these sources, from the cache when nothing has changed.

    headers: files that the sources include, beside those in NATIVE.  kind: PROGRAM, LIBRARY or others of
    the compiler's options.
    Raises HostError when there is no compiler or it does not succeed.
    """
    compiler, flags = find_compiler(), [*FLAGS, *kind]
    digest = hashlib.sha256(f"{compiler.identity}{flags}{LIBRARIES}".encode())
    for path in [*sources, *headers, *sorted(NATIVE.glob("*.h"))]:
        digest.update(path.read_bytes())
    program = cache_dir("native") / f"{name}-{digest.hexdigest()[:16]}"
    if not program.exists():
        _compile(compiler, flags, sources, program)
    return program


def _compile(compiler: Compiler, flags: Sequence[str], sources: Sequence[Path], program: Path) -> None:
    with whole_file(program) as draft:
        command = [compiler.path, *flags, f"-I{NATIVE}", "-o", str(draft), *map(str, sources), *LIBRARIES]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise HostError(
                f"cannot compile {program.name}",
                found=" | ".join(done.stderr.strip().splitlines()[:5]),
                hint=f"{' '.join(command)}   (static libraries: {how_to_install(['musl-tools'])})",
            )
        draft.chmod(0o755)
