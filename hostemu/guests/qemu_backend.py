"""The backends that are QEMU: `qemu` emulates the processor (TCG), `kvm` has the processor run the guest."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError
from hostemu.base.packages import how_to_install, missing, packages_for
from hostemu.guests.api import Backend, Guest, GuestSpec, NicSpec, Probe
from hostemu.guests.kernels import find_kernel
from hostemu.guests.qemu import QEMU, QemuGuest
from hostemu.guests.qemu_template import QemuClone, TemplateStore

PROBE_S = 20.0
PROBE_BYTES = 64 << 20
"""A distribution's kernel needs more than a lean one."""


class KvmGuest(QemuGuest):
    """A machine that the processor runs."""

    accelerator = "kvm"


class QemuBackend(Backend):
    """QEMU with its emulator."""

    name = "qemu"
    has_own_kernel = True
    guest_class: type[QemuGuest] = QemuGuest

    def __init__(self) -> None:
        self._templates = TemplateStore(self.guest_class)

    def probe(self) -> Probe:
        lacking = missing([QEMU])
        if lacking:
            return Probe(False, f"not found: {QEMU}", how_to_install(packages_for(lacking)))
        spec = GuestSpec("probe", (NicSpec("eth0", "02:00:00:00:00:01"),), memory_bytes=PROBE_BYTES)
        try:
            kernel = find_kernel("x86")
            with tempfile.TemporaryDirectory() as folder, self.create(spec, Path(folder)) as guest:
                deadline = Deadline.after(PROBE_S, "a QEMU guest")
                guest.start(deadline)
                guest.wait_ready(deadline)
        except HostemuError as error:
            return Probe(False, f"{error.message}: {error.found}" if error.found else error.message, error.hint or "")
        return Probe(True, f"{kernel.flavour} kernel {kernel.version}, {self.guest_class.accelerator}")

    def create(self, spec: GuestSpec, workdir: Path) -> Guest:
        if spec.is_copy and spec.shares is None:  # a machine with shared folders cannot be saved
            return QemuClone(spec, workdir, self._templates, self.guest_class.accelerator)
        return self.guest_class(spec, workdir)


class KvmBackend(QemuBackend):
    """QEMU with the processor's virtualisation."""

    name = "kvm"
    guest_class = KvmGuest
