"""The backends that are QEMU: `qemu` emulates the processor (TCG), `kvm` has the processor run the guest."""

from __future__ import annotations

from pathlib import Path

from hostemu.base.errors import HostemuError
from hostemu.guests.api import (
    Backend,
    Cable,
    Guest,
    GuestSpec,
    HostInterface,
    Multicast,
    Preparation,
    Probe,
    SwitchPort,
)
from hostemu.guests.booting import boot_probe, made_of, prepared_by, require
from hostemu.guests.kvm_probe import probe_kvm
from hostemu.guests.qemu import QEMU, QemuGuest
from hostemu.guests.qemu_template import QemuClone, TemplateStore, can_be_copied
from hostemu.lab import NetNamespace


class KvmGuest(QemuGuest):
    """A machine that the processor runs."""

    accelerator = "kvm"


class QemuBackend(Backend):
    """QEMU with its emulator."""

    name = "qemu"
    has_own_kernel = True
    wires = (Cable, HostInterface, Multicast, SwitchPort)
    guest_class: type[QemuGuest] = QemuGuest

    def __init__(self) -> None:
        self._templates = TemplateStore(self.guest_class)

    def require(self, kernel: Path | None) -> None:
        require("x86", kernel, [QEMU])

    def probe(self) -> Probe:
        try:
            self.require(None)
        except HostemuError as error:
            return Probe(False, error.message, error.hint or "")
        return boot_probe(self, "x86")

    def identity(self) -> dict[str, str]:
        return made_of("x86", QEMU)

    def preparation(self) -> Preparation:
        return prepared_by("x86", QEMU)

    def create(self, spec: GuestSpec, workdir: Path, site: NetNamespace | None = None) -> Guest:
        self.check_wires(spec, site)
        if spec.is_copy and can_be_copied(spec):
            return QemuClone(spec, workdir, site, self._templates, self.guest_class.accelerator)
        return self.guest_class(spec, workdir, site)


class KvmBackend(QemuBackend):
    """QEMU with the processor's virtualisation."""

    name = "kvm"
    guest_class = KvmGuest

    def probe(self) -> Probe:
        """A processor that runs a loop at full speed, and a guest that boots: QEMU stays alive when KVM fails it."""
        found = probe_kvm()
        return super().probe() if found.usable else found
