"""Builds of the C sources: the farm program as users get it, the same under sanitizers, the driver of its parts."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from hostemu.base.cache import cache_dir, whole_file
from hostemu.base.errors import HostError
from hostemu.guests.toolchain import FLAGS, find_compiler
from hostemu.retrieval.native import SOURCES, farm_program

DRIVER = Path(__file__).with_name("c") / "driver.c"
MAIN = SOURCES / "terminals.c"
CHECKING = ("-std=gnu11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{SOURCES}")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")


def compile_sources(compiler: str, flags: tuple[str, ...], sources: list[Path], program: Path) -> None:
    """Compile, or fail with what the compiler says."""
    command = [compiler, *flags, "-o", str(program), *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stderr}"


@cache
def why_no_compiler() -> str:
    """Why there are no static programs on this machine; "" when there are."""
    try:
        find_compiler()
    except HostError as error:
        return str(error)
    return ""


@cache
def why_no_sanitizers() -> str:
    """Why there are no checked programs on this machine; "" when there are.  musl has no sanitizers."""
    if shutil.which("gcc") is None:
        return "no gcc, which has the sanitizers"
    trial = ["gcc", *SANITIZERS, "-x", "c", "-o", "/dev/null", "-"]
    done = subprocess.run(trial, input="int main(void){return 0;}", capture_output=True, text=True, check=False)
    return f"gcc has no sanitizers here: {done.stderr.strip()}" if done.returncode else ""


def _kept(name: str, compiler: str, flags: tuple[str, ...], sources: list[Path]) -> Path:
    """The program, compiled once per version of its sources."""
    digest = hashlib.sha256(f"{compiler} {flags}".encode())
    for path in [*sources, *sorted(SOURCES.glob("*.h"))]:
        digest.update(path.read_bytes())
    program = cache_dir("native-tests") / f"{name}-{digest.hexdigest()[:16]}"
    if not program.exists():
        with whole_file(program) as draft:
            compile_sources(compiler, flags, sources, draft)
            draft.chmod(0o755)
    return program


def farm_for_users() -> Path:
    """The program that guests get; skips without a compiler."""
    if why_no_compiler():
        pytest.skip(why_no_compiler())
    return farm_program()


@cache
def farm_checked() -> Path:
    """The program under AddressSanitizer and UndefinedBehaviorSanitizer; skips without them."""
    if why_no_sanitizers():
        pytest.skip(why_no_sanitizers())
    return _kept("terminals", "gcc", (*CHECKING, *SANITIZERS), sorted(SOURCES.glob("*.c")))


@cache
def driver() -> Path:
    """The driver of the program's parts, checked where possible; skips without any compiler."""
    parts = [path for path in sorted(SOURCES.glob("*.c")) if path != MAIN]
    if not why_no_sanitizers():
        return _kept("driver", "gcc", (*CHECKING, *SANITIZERS), [DRIVER, *parts])
    if why_no_compiler():
        pytest.skip(why_no_compiler())
    return _kept("driver", find_compiler().path, (*FLAGS, f"-I{SOURCES}"), [DRIVER, *parts])
