"""Which kernel a guest boots, and whether guests boot here at all."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError, InputError
from hostemu.guests.api import Backend, GuestSpec, NicSpec, Probe
from hostemu.guests.kernel_image import Kind
from hostemu.guests.kernels import Kernel, find_kernel

PROBE_S = 30.0


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


def boot_probe(backend: Backend, kind: Kind) -> Probe:
    """Whether a guest of this backend boots and answers here."""
    try:
        kernel = _kernel(kind, None)
        spec = GuestSpec("probe", (NicSpec("eth0", "02:00:00:00:00:01"),), memory_bytes=kernel.least_memory_bytes)
        deadline = Deadline.after(PROBE_S, f"a {backend.name} guest to boot")
        with tempfile.TemporaryDirectory() as folder, backend.create(spec, Path(folder)) as guest:
            guest.start(deadline)
            guest.wait_ready(deadline)
    except HostemuError as error:
        return Probe(False, f"{error.message}: {error.found}" if error.found else error.message, error.hint or "")
    return Probe(True, f"boots a {kernel.flavour} kernel, {kernel.version}")
