"""The backends that are QEMU: `qemu` emulates the processor (TCG), `kvm` has the processor run the guest."""

from __future__ import annotations

from pathlib import Path

from hostemu.base.packages import how_to_install, missing, packages_for
from hostemu.guests.api import Backend, Guest, GuestSpec, Probe
from hostemu.guests.booting import boot_probe
from hostemu.guests.qemu import QEMU, QemuGuest
from hostemu.guests.qemu_template import QemuClone, TemplateStore


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
        return boot_probe(self, "x86")

    def create(self, spec: GuestSpec, workdir: Path) -> Guest:
        if spec.is_copy and spec.shares is None:  # a machine with shared folders cannot be saved
            return QemuClone(spec, workdir, self._templates, self.guest_class.accelerator)
        return self.guest_class(spec, workdir)


class KvmBackend(QemuBackend):
    """QEMU with the processor's virtualisation."""

    name = "kvm"
    guest_class = KvmGuest
