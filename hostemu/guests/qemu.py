"""QEMU guests: a whole machine, emulated (TCG) or run by the processor (KVM).

Options: QEMU 7.2's invocation manual.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from hostemu.base.errors import InputError
from hostemu.guests.api import GuestSpec, Multicast, NicSpec, SwitchPort
from hostemu.guests.booting import kernel_for
from hostemu.guests.channel import answer_soon
from hostemu.guests.image import agent_program, image_for
from hostemu.guests.kernel_guest import KernelGuest
from hostemu.guests.kernel_modules import modules_for
from hostemu.guests.qmp import Monitor
from hostemu.guests.tsc import tsc_khz
from hostemu.lab import NetNamespace

QEMU = "qemu-system-x86_64"
MACHINE = "pc,acpi=off,usb=off,vmport=off,hpet=off"
"""Not microvm: there every ring of virtio has 1024 places, and the guest keeps a page of its memory for each."""

TRANSLATION_MB, HOST_PROGRAMS_TRANSLATION_MB = 8, 32
"""TCG's buffer of translated code: with less, booting takes longer; with more, each guest takes more memory.

Programs of the host, in Python, do not fit in the smaller one: they would be translated again and again, and take
three times as long.
"""


def machine(spec: GuestSpec, accelerator: str, ram: Path | None, *, is_template: bool = False) -> list[str]:
    """The options that make the machine itself.  ram: the file that its memory is; a template shares it with it."""
    size = f"{spec.memory_bytes >> 10}K"
    backend = "" if ram is None else ",memory-backend=ram"
    argv = ["-M", f"{MACHINE}{backend}", "-m", f"size={size}"]
    if ram is not None:
        share = "on" if is_template else "off"
        argv += ["-object", f"memory-backend-file,id=ram,size={size},mem-path={ram},share={share}"]
    buffer_mb = TRANSLATION_MB if spec.shares is None else HOST_PROGRAMS_TRANSLATION_MB
    speed = f"tcg,tb-size={buffer_mb}" if accelerator == "tcg" else accelerator
    return [*argv, "-accel", speed, "-cpu", "host" if accelerator == "kvm" else "max"]


def boot(spec: GuestSpec, accelerator: str) -> list[str]:
    """The options that give a machine its kernel."""
    kernel = kernel_for(spec, "x86")
    words = ["console=ttyS0", "quiet", "panic=-1", "reboot=t", "hostemu_channel=/dev/vport0p1"]
    khz = tsc_khz() if accelerator == "tcg" else None
    if khz is not None:
        # Else an emulated machine takes its counter for unreliable, and ticks 100 times a second instead.
        words += [f"tsc_early_khz={khz}", "tsc=reliable"]
    initrd = image_for(spec, modules_for(kernel, shares=spec.shares is not None))
    return ["-kernel", str(kernel.path), "-initrd", str(initrd), "-append", " ".join(words)]


def network(number: int, nic: NicSpec, taps: Mapping[str, str]) -> str:
    """The host's side of a NIC.  taps: by name of the NIC."""
    match nic.wire:
        case Multicast(group, port):
            return f"socket,id=net{number},mcast={group}:{port},localaddr=127.0.0.1"
        case SwitchPort(control):
            return f"vde,id=net{number},sock={control}"
        case _:
            return f"tap,id=net{number},ifname={taps[nic.name]},script=no,downscript=no,vhost=off"


def devices(spec: GuestSpec, taps: Mapping[str, str], agent_fd: int, monitor_fd: int) -> list[str]:
    """The options for console, agent, monitor, NICs and shared folders."""
    argv = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
    argv += ["-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console"]
    argv += ["-chardev", f"socket,id=agent,fd={agent_fd}", "-device", "virtio-serial-pci,max_ports=2"]
    argv += ["-device", "virtserialport,chardev=agent,name=hostemu"]
    argv += ["-chardev", f"socket,id=monitor,fd={monitor_fd}", "-mon", "chardev=monitor,mode=control"]
    for number, nic in enumerate(spec.nics):
        argv += ["-netdev", network(number, nic, taps)]
        argv += ["-device", f"virtio-net-pci,netdev=net{number},mac={nic.mac},romfile="]
    if spec.shares is not None:
        for tag, folder, readonly in (("root", "/", "on"), ("shared", str(spec.shares), "off")):
            argv += ["-fsdev", f"local,id={tag},path={folder},security_model=none,readonly={readonly}"]
            argv += ["-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
    return argv


class QemuGuest(KernelGuest):
    """One machine."""

    accelerator = "tcg"

    def __init__(self, spec: GuestSpec, workdir: Path, site: NetNamespace | None = None) -> None:
        super().__init__(spec, workdir, site)
        self.monitor: Monitor | None = None

    def command(self, agent_fd: int) -> tuple[list[str], list[int]]:
        near, far = socket.socketpair()
        self.handed_over.enter_context(far)
        self.monitor = Monitor(near, self.spec.name)
        self.resources.callback(self.monitor.close)
        argv = [str(agent_program()), "launch", "H", QEMU, *self.options()]
        return [*argv, *devices(self.spec, self.taps, agent_fd, far.fileno())], [far.fileno()]

    def options(self) -> list[str]:
        """What makes the machine, and what it starts with."""
        return [*machine(self.spec, self.accelerator, None), *boot(self.spec, self.accelerator)]

    def host_mount(self, folder: str, *, writable: bool) -> tuple[str, str, str]:
        return ("shared" if writable else "root", "9p", "trans=virtio,version=9p2000.L,msize=262144,cache=mmap")

    def pause(self) -> None:
        self.execute("stop")

    def resume(self) -> None:
        self.execute("cont")

    def set_link(self, name: str, *, up: bool) -> None:
        """The guest sees that its cable is out; its kernel keeps addresses and routes."""
        self.require_running()
        names = [nic.name for nic in self.spec.nics]
        if name not in names:
            raise InputError(f"guest {self.spec.name} has no NIC {name!r}", expected=", ".join(names))
        number = names.index(name)
        self.execute("set_link", name=f"net{number}", up=up)

    def execute(self, command: str, **arguments: object) -> object:
        """Have QEMU carry out a command of its machine protocol."""
        self.require_running()
        if self.monitor is None:
            raise ValueError("a running QEMU without a monitor")
        with self._explained():
            return self.monitor.execute(command, answer_soon(f"QEMU to {command}"), **arguments)

    def give_file(self, path: Path, flags: int, name: str) -> None:
        """Open a file for QEMU, which finds it under a name; flags: of open(2)."""
        if self.monitor is None:
            raise ValueError("a running QEMU without a monitor")
        fd = os.open(path, flags | os.O_CLOEXEC, 0o600)
        try:
            self.monitor.give_fd(fd, name, answer_soon(f"QEMU to take {name}"))
        finally:
            os.close(fd)
