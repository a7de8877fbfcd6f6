"""User-mode Linux guests: a Linux kernel as a process of this machine.

Facts about options: Documentation/virt/uml/user_mode_linux_howto_v2.rst of the kernel's source.
"""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
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
from hostemu.guests.booting import LAB_FOLDER, boot_probe, kernel_for, made_of, prepared_by, require
from hostemu.guests.channel import AgentEndpoint
from hostemu.guests.image import agent_program, image_for
from hostemu.guests.kernel_guest import KernelGuest
from hostemu.guests.toolchain import LIBRARY, compiled
from hostemu.lab import NetNamespace, rtnetlink
from hostemu.lab.rtnetlink import RouteSocket

VECTOR_DEPTH = 64
"""Frames that a vector NIC takes at a time: as many as the kernel's polling allows (NAPI_POLL_WEIGHT)."""

PRELOAD = Path(__file__).with_name("preload")
"""Sources of what is loaded into kernels' processes; they say what for."""

SEPARATORS = frozenset(" :")
"""Of LD_PRELOAD: ld.so(8)."""

_numbers = itertools.count()


def preloaded(name: str) -> Path:
    """The library of that name in PRELOAD, at a path that LD_PRELOAD can name; HostError without a compiler."""
    headers = [PRELOAD / "kernel.h", *sorted((PRELOAD / name).glob("*.h"))]
    library = compiled(name, sorted((PRELOAD / name).glob("*.c")), headers, LIBRARY)
    if not SEPARATORS & set(str(library)):
        return library
    link = LAB_FOLDER / library.name
    with suppress(FileExistsError):
        link.symlink_to(library)
    return link


class UmlGuest(KernelGuest):
    """One User-mode Linux kernel."""

    # Its serial lines take input byte by byte, and stop for ever once their reader is slow: line_throttle() takes the
    # descriptor out of the poll set, and nothing puts it back (arch/um/drivers/line.c, Linux 6.1).
    line_bytes = 2048

    def __init__(self, spec: GuestSpec, workdir: Path, site: NetNamespace | None = None) -> None:
        super().__init__(spec, workdir, site)
        self._folder = LAB_FOLDER

    def virtualisers_environment(self) -> dict[str, str]:
        return {**super().virtualisers_environment(), "LD_PRELOAD": str(preloaded("recheck"))}

    def command(self, agent_fd: int) -> tuple[list[str], list[int]]:
        kernel = kernel_for(self.spec, "uml")
        # New for every start: no kernel takes the folder of another that had the same process number as itself.
        self._folder = LAB_FOLDER / self.machine_name()
        self.resources.callback(shutil.rmtree, self._folder, ignore_errors=True)
        nics = (self.nic_argument(number, nic) for number, nic in enumerate(self.spec.nics))
        argv = [
            str(agent_program()),
            "launch",
            "RC",  # R: else the kernel's randomisation of the heap's start is added to the guest's memory
            str(kernel.path),
            f"mem={self.spec.memory_bytes}",
            f"initrd={image_for(self.spec)}",
            "root=/dev/ram0",
            f"uml_dir={self._folder.parent}",
            f"umid={self._folder.name}",
            "con0=null,fd:1",
            "con=null",
            f"ssl0=fd:{agent_fd}",
            "ssl=null",
            "hostemu_channel=/dev/ttyS0",
            "hostemu_ack=1",
            "quiet",
            "panic=-1",
            *self.more_arguments(),
            *nics,
        ]
        return argv, []

    def machine_name(self) -> str:
        """Of the folder that its kernel makes."""
        return f"uml-{os.getpid()}-{next(_numbers)}"

    def more_arguments(self) -> Sequence[str]:
        """What the kernel is told besides."""
        return ()

    def nic_argument(self, number: int, nic: NicSpec) -> str:
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

    def set_link(self, name: str, *, up: bool) -> None:
        """The guest's kernel does not see it, but a NIC that sends meanwhile fails for good, until it is opened anew.

        So it is opened anew with its cable; what its kernel forgets on the way is said again.
        """
        super().set_link(name, up=up)
        if not up:
            return
        nic = next(nic for nic in self.spec.nics if nic.name == name)
        with self._explained():
            route = RouteSocket(AgentEndpoint(self.require_running()))
            index = next(link.index for link in route.links() if link.name == name)
            route.request([rtnetlink.set_link(index, up=False), rtnetlink.set_link(index, up=True)])
            route.request(rtnetlink.configure(index, **nic.link_settings))

    def _manage(self, command: str) -> None:
        self.require_running()
        with self._explained():
            mconsole.request(self._folder / "mconsole", command)


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
