"""Which kernel a guest boots, and whether guests boot here at all."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError, HostError, InputError
from hostemu.base.packages import how_to_install, missing, packages_for
from hostemu.guests.api import Backend, GuestSpec, NicSpec, Preparation, Probe
from hostemu.guests.image import agent_program
from hostemu.guests.kernel_build import RECIPES
from hostemu.guests.kernel_image import Kind, file_sha256
from hostemu.guests.kernel_source import PACKAGE as SOURCE_PACKAGE
from hostemu.guests.kernels import PACKAGES, Kernel, find_kernel
from hostemu.guests.toolchain import COMPILERS

PROBE_S = 30.0

LAB_FOLDER = Path("/dev/shm")
"""For files that are to end with the lab, however that ends; its path is short enough for that of a socket."""


@lru_cache(maxsize=16)
def _kernel(kind: Kind, given: Path | None) -> Kernel:
    """As find_kernel; a run starts hundreds of guests with the same kernel."""
    return find_kernel(kind, given)


def kernel_for(spec: GuestSpec, kind: Kind) -> Kernel:
    """The kernel that a guest boots; InputError when it has less memory than that needs."""
    kernel = _kernel(kind, spec.kernel)
    least_bytes = 0 if kernel.flavour == "given" else kernel.least_memory_bytes
    if spec.memory_bytes < least_bytes:
        raise InputError(
            f"guest {spec.name} has too little memory for {kernel.path}",
            expected=f"at least {least_bytes >> 20} MiB",
            found=f"{spec.memory_bytes >> 20} MiB",
            hint=f"give guests more, or make a lean kernel: hostemu kernel build {kind}",
        )
    return kernel


def require(kind: Kind, kernel: Path | None, needs: Sequence[str] = ()) -> None:
    """What Backend.require does for guests with a kernel.  needs: commands of this machine."""
    lacking = missing(needs)
    if lacking:
        raise HostError(f"not found: {', '.join(lacking)}", hint=how_to_install(packages_for(lacking)))
    agent_program()
    find_kernel(kind, kernel)


def made_of(kind: Kind, *programs: str) -> dict[str, str]:
    """What Backend.identity tells of guests with a kernel: its release and checksum, and those of programs here."""
    kernel = _kernel(kind, None)
    found = {"kernel": f"{kernel.flavour} {kernel.version}", "kernel_sha256": kernel.sha256}
    paths = {name: shutil.which(name) for name in programs}
    return found | {f"{name}_sha256": file_sha256(Path(path)) for name, path in paths.items() if path is not None}


def prepared_by(kind: Kind, *programs: str) -> Preparation:
    """What Backend.preparation tells of guests with a kernel: the packages of everything that they are made of."""
    needs = [COMPILERS[0], "busybox", *programs]
    if _kernel(kind, None).flavour != "lean":
        return Preparation(tuple(sorted({*packages_for(needs), PACKAGES[kind]})))
    packages = packages_for([*RECIPES[kind].needs, *needs, SOURCE_PACKAGE])
    return Preparation(tuple(packages), (f"hostemu kernel build {kind}",))


def boot_probe(backend: Backend, kind: Kind) -> Probe:
    """Whether a guest of this backend boots and answers here."""
    try:
        kernel = _kernel(kind, None)
        spec = GuestSpec("probe", (NicSpec("eth0", "02:00:00:00:00:01"),), memory_bytes=kernel.least_memory_bytes)
        deadline = Deadline.after(PROBE_S, f"a {backend.name} guest to boot")
        with tempfile.TemporaryDirectory(dir=LAB_FOLDER) as folder, backend.create(spec, Path(folder)) as guest:
            guest.start(deadline)
            guest.wait_ready(deadline)
    except HostemuError as error:
        return Probe(False, f"{error.message}: {error.found}" if error.found else error.message, error.hint or "")
    return Probe(True, f"boots a {kernel.flavour} kernel, {kernel.version}")
