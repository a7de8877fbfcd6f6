"""Builds lean kernels for guests from the distribution's kernel source, once per source and compiler."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from hostemu.base.errors import HostError, InputError
from hostemu.base.packages import how_to_install, missing, packages_for
from hostemu.base.work_folder import locked, sweep, work_folder
from hostemu.guests.kernel_config import allconfig, dropped, fragment_file, parse_fragment
from hostemu.guests.kernel_image import Kind, file_sha256, identify
from hostemu.guests.kernel_make import Progress, StepCounter, run_make
from hostemu.guests.kernel_source import (
    NO_SPACE,
    PACKAGE,
    Source,
    disk_full,
    find_source,
    packaged_source,
    source_version,
    unpack,
)
from hostemu.guests.kernels import (
    IMAGE_NAME,
    RECORD_NAME,
    BuildRecord,
    Kernel,
    fragment_sha256,
    kernels_dir,
    read_lean,
)

TOOLS = ("make", "gcc", "ld", "flex", "bison", "bc", "m4", "/usr/include/stdio.h")
UNPACKERS = {".xz": "xz", ".bz2": "bzip2", ".zst": "zstd"}
TREE_BYTES, OBJECT_BYTES = 1_600_000_000, 200_000_000
"""What an unpacked source and the objects of a lean kernel take; measured with 6.1."""


@dataclass(frozen=True)
class Recipe:
    """How a kind of kernel is made; image: where make leaves it; steps: lines that make prints, measured with 6.1."""

    arch: str
    target: str
    image: str
    steps: int
    needs: tuple[str, ...]


RECIPES: dict[Kind, Recipe] = {
    "uml": Recipe("um", "linux", "linux", 1048, TOOLS),
    "x86": Recipe("x86_64", "bzImage", "arch/x86/boot/bzImage", 1348, (*TOOLS, "/usr/include/gelf.h")),
}


SYMBOLS: Mapping[Kind, tuple[str, ...]] = {"uml": ("time_travel_ndelay",), "x86": ()}
"""What a kernel keeps of its symbols: functions that are called from outside."""


@dataclass(frozen=True)
class Plan:
    """One build: what of, by what, and where its result goes; key: changes when the kernel may."""

    kind: Kind
    source: Source
    compiler: str
    jobs: int

    @property
    def recipe(self) -> Recipe:
        """How."""
        return RECIPES[self.kind]

    @property
    def key(self) -> str:
        """Names the result among all lean kernels of this machine."""
        parts = (self.kind, self.source.sha256, fragment_sha256(self.kind), self.compiler, *SYMBOLS[self.kind])
        return hashlib.sha256("\0".join(parts).encode()).hexdigest()

    @property
    def folder(self) -> Path:
        """Where the result is kept."""
        return kernels_dir() / f"{self.kind}-{self.key[:16]}"


def missing_packages(kind: Kind, source: Path | None = None) -> list[str]:
    """The packages that a build needs and this machine lacks; source: the given one, if any."""
    lacking = missing(RECIPES[kind].needs)
    found = source or packaged_source()
    if found is None:
        lacking += [PACKAGE, *missing(["xz"])]
    else:
        lacking += missing(program for suffix, program in UNPACKERS.items() if found.suffix == suffix)
    return packages_for(lacking)


def build_kernel(kind: Kind, on_progress: Progress, jobs: int | None = None, source: Path | None = None) -> Kernel:
    """The lean kernel of the given source, else of the distribution's: from the cache, or built now.

    jobs: compilers at the same time; as many as this process may use processors when None.  Afterwards this is the
    one that find_kernel finds.  A build of the same kernel by another process is waited for.
    InputError: the given source is none.  HostError: packages or space are lacking, or it cannot be built.
    """
    if platform.machine() != "x86_64":
        raise HostError(
            "lean kernels are built for this machine's kind only", expected="x86_64", found=platform.machine()
        )
    if shutil.which("gcc") is None or (source is None and packaged_source() is None):
        _demand_packages(kind, source)
    plan = Plan(kind, find_source(source), _compiler(), jobs or len(os.sched_getaffinity(0)))
    counter = StepCounter(plan.recipe.steps, on_progress)
    try:
        with locked(plan.folder.with_name(f".{plan.folder.name}.lock")):
            kernel = _cached(plan.folder)
            if kernel is None:
                _demand_packages(kind, source)
                kernel = _built(plan, counter)
            _mark_as_last(plan.folder / RECORD_NAME)
    except OSError as error:
        raise _cannot_write(error) from error
    counter.finish()
    return kernel


def _mark_as_last(record: Path) -> None:
    """Make it the newest; touch(1) would do so only to the tick of the kernel's clock."""
    now_ns = time.time_ns()
    os.utime(record, ns=(now_ns, now_ns))


def _demand_packages(kind: Kind, source: Path | None) -> None:
    packages = missing_packages(kind, source)
    if packages:
        raise HostError(
            f"packages are missing that building a {kind} kernel takes",
            found=f"not installed: {', '.join(packages)}",
            hint=f"{how_to_install(packages)}   (or: hostemu kernel build {kind} --install)",
        )


def _compiler() -> str:
    """What compiles and links, by the first lines that they say of themselves."""
    said = (
        subprocess.run([name, "--version"], capture_output=True, text=True, check=False) for name in ("gcc", "ld")
    )
    return "; ".join(done.stdout.partition("\n")[0] for done in said)


def _cached(folder: Path) -> Kernel | None:
    try:
        return read_lean(folder).kernel
    except (OSError, ValueError, TypeError):
        return None


def _built(plan: Plan, counter: StepCounter) -> Kernel:
    """Build it in a folder of its own, and move it to its place when it is whole."""
    sweep(kernels_dir())
    _demand_space(plan)
    started = time.monotonic()
    log = kernels_dir() / f"{plan.folder.name}.log"
    with work_folder(kernels_dir()) as (work, held):
        log.write_text("")
        tree = _tree(plan.source, work, held)
        config = _configure(plan, tree, work / "objects", log, held)
        make = [f"-j{plan.jobs}", *_goal(plan, tree, work / "objects"), plan.recipe.target]
        run_make(make, log, held, counter.line)
        done = _harvest(plan, tree, work, config, time.monotonic() - started)
        log.replace(done / "build.log")
        if plan.folder.exists():  # damaged
            plan.folder.rename(work / "damaged")
        done.rename(plan.folder)
    return read_lean(plan.folder).kernel


def _cannot_write(error: OSError) -> HostError:
    if error.errno == errno.ENOSPC:
        return disk_full(kernels_dir())
    return HostError(f"cannot build in {kernels_dir()}: {error}", hint="set HOSTEMU_CACHE to a writable folder")


def _demand_space(plan: Plan) -> None:
    needed = OBJECT_BYTES + (0 if plan.source.is_tree else TREE_BYTES)
    free = shutil.disk_usage(kernels_dir()).free
    if free < needed:
        raise HostError(
            f"too little space in {kernels_dir()} to build a kernel",
            expected=f"{needed / 1e9:.1f} GB, most of which is free again afterwards",
            found=f"{free / 1e9:.1f} GB",
            hint="free some space, or set HOSTEMU_CACHE to a larger disk",
        )


def _tree(source: Source, work: Path, held: int) -> Path:
    if source.is_tree:
        return source.path
    unpack(source, work / "tree", held)
    return work / "tree"


def _goal(plan: Plan, tree: Path, objects: Path) -> list[str]:
    return ["-C", str(tree), f"O={objects}", f"ARCH={plan.recipe.arch}"]


def _configure(plan: Plan, tree: Path, objects: Path, log: Path, held: int) -> str:
    """The .config that the source makes of the fragment; HostError names lines that it did not follow."""
    options = parse_fragment(fragment_file(plan.kind).read_text())
    objects.mkdir()
    wanted = objects / "wanted.config"
    wanted.write_text(allconfig(options))
    run_make([*_goal(plan, tree, objects), f"KCONFIG_ALLCONFIG={wanted}", "allnoconfig"], log, held)
    config = (objects / ".config").read_text()
    lines = dropped(options, config)
    if lines:
        raise HostError(
            f"{plan.source.path} cannot be configured as a lean {plan.kind} kernel",
            expected="that every line of the configuration takes effect",
            found=f"without effect: {', '.join(lines)}",
            hint="name a source of another version: --source FILE",
        )
    return config


def _harvest(plan: Plan, tree: Path, work: Path, config: str, seconds: float) -> Path:
    """A folder with the kernel, its configuration and its record; HostError when it is not its source's kernel."""
    done = work / "done"
    done.mkdir()
    image = done / IMAGE_NAME[plan.kind]
    _take_image(plan.kind, work / "objects" / plan.recipe.image, image)
    version = _version(plan, image, source_version(tree) or "")
    (done / "config").write_text(config)
    record = BuildRecord(
        kind=plan.kind,
        version=version,
        sha256=file_sha256(image),
        fragment_sha256=fragment_sha256(plan.kind),
        config_sha256=file_sha256(done / "config"),
        source=str(plan.source.path),
        source_sha256=plan.source.sha256,
        compiler=plan.compiler,
        seconds=round(seconds, 1),
    )
    (done / RECORD_NAME).write_text(json.dumps(asdict(record), indent=2) + "\n")
    return done


def _take_image(kind: Kind, made: Path, image: Path) -> None:
    """The kernel as it is kept: without symbols that nothing reads."""
    if kind == "x86":
        shutil.copyfile(made, image)
        return
    kept = [f"--keep-symbol={name}" for name in SYMBOLS[kind]]
    done = subprocess.run(["strip", *kept, "-o", image, made], capture_output=True, text=True, check=False)
    if NO_SPACE in done.stderr:
        raise disk_full(image.parent)
    if done.returncode:
        raise HostError("make left no kernel that can be stripped", found=done.stderr.strip())


def _version(plan: Plan, image: Path, source_says: str) -> str:
    """The release that the kernel says itself; HostError when it is no kernel, or not that of its source."""
    try:
        version = identify(plan.kind, image)
    except InputError as error:
        raise HostError(f"what make left is no {plan.kind} kernel", found=error.found) from error
    if not version.startswith(source_says):
        raise HostError(f"the kernel made of {plan.source.path} is another", expected=source_says, found=version)
    return version
