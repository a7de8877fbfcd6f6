"""User-mode Linux guests: a Linux kernel as a process of this machine.

Facts about options: Documentation/virt/uml/user_mode_linux_howto_v2.rst of the kernel's source.
"""

from __future__ import annotations

from pathlib import Path

from hostemu.guests import mconsole
from hostemu.guests.api import (
    Backend,
    Cable,
    Guest,
    GuestSpec,
    HostInterface,
    Multicast,
    NicSpec,
    Preparation,
    Probe,
    SwitchPort,
)
from hostemu.guests.booting import boot_probe, kernel_for, made_of, prepared_by, require
from hostemu.guests.image import agent_program, image_for
from hostemu.guests.kernel_guest import KernelGuest
from hostemu.lab import NetNamespace

VECTOR_DEPTH = 64
"""Frames that a vector NIC takes at a time: as many as the kernel's polling allows (NAPI_POLL_WEIGHT)."""


UML_FOLDER = Path("/dev/shm")
"""The lab's own: it ends with it, and its path is short enough for a socket's."""


class UmlGuest(KernelGuest):
    """One User-mode Linux kernel."""

    # Its serial lines take input byte by byte, and stop for ever once their reader is slow: line_throttle() takes the
    # descriptor out of the poll set, and nothing puts it back (arch/um/drivers/line.c, Linux 6.1).
    line_bytes = 2048

    def command(self, agent_fd: int) -> tuple[list[str], list[int]]:
        kernel = kernel_for(self.spec, "uml")
        nics = (self._nic_argument(number, nic) for number, nic in enumerate(self.spec.nics))
        argv = [
            str(agent_program()),
            "launch",
            "R",  # else the kernel's randomisation of the heap's start is added to the guest's memory
            str(kernel.path),
            f"mem={self.spec.memory_bytes}",
            f"initrd={image_for(self.spec)}",
            "root=/dev/ram0",
            f"uml_dir={UML_FOLDER}",
            f"umid={self.spec.name}",
            "con0=null,fd:1",
            "con=null",
            f"ssl0=fd:{agent_fd}",
            "ssl=null",
            "hostemu_channel=/dev/ttyS0",
            "hostemu_ack=1",
            "quiet",
            "panic=-1",
            *nics,
        ]
        return argv, []

    def _nic_argument(self, number: int, nic: NicSpec) -> str:
        """Vector NICs are the faster ones; only the older drivers know multicast sockets and switch daemons."""
        match nic.wire:
            case Multicast(group, port):
                return f"eth{number}=mcast,{nic.mac},{group},{port},0"
            case SwitchPort(control):
                path = control / "ctl" if control.is_dir() else control
                return f"eth{number}=daemon,{nic.mac},unix,{path}"
            case _:
                tap = self.taps[nic.name]
                return f"vec{number}:transport=tap,ifname={tap},depth={VECTOR_DEPTH},gro=1,mac={nic.mac}"

    def host_mount(self, folder: str, *, writable: bool) -> tuple[str, str, str]:
        return ("none", "hostfs", folder)

    def pause(self) -> None:
        """By its management console: its processes are traced, and must not be sent SIGSTOP by anyone else."""
        self._manage("stop")

    def resume(self) -> None:
        self._manage("go")

    def _manage(self, command: str) -> None:
        self.require_running()
        with self._explained():
            mconsole.request(UML_FOLDER / self.spec.name / "mconsole", command)


class UmlBackend(Backend):
    """User-mode Linux, of a lean kernel or the distribution's."""

    name = "uml"
    has_own_kernel = True
    wires = (Cable, HostInterface, Multicast, SwitchPort)

    def require(self, kernel: Path | None) -> None:
        require("uml", kernel)

    def probe(self) -> Probe:
        return boot_probe(self, "uml")

    def identity(self) -> dict[str, str]:
        return made_of("uml")

    def preparation(self) -> Preparation:
        return prepared_by("uml")

    def create(self, spec: GuestSpec, workdir: Path, site: NetNamespace | None = None) -> Guest:
        self.check_wires(spec, site)
        return UmlGuest(spec, workdir, site)
