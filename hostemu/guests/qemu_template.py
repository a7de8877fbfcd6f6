"""Copies of a booted QEMU machine: they start in a third of the time, and share what they do not change.

A template boots with its memory in a file, stops, and writes the state of its devices to another file; copies map
the memory privately.  QEMU's capability "x-ignore-shared" leaves the memory out of the state.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import GuestError
from hostemu.guests.api import Cable, GuestSpec, HostInterface, NicSpec
from hostemu.guests.booting import LAB_FOLDER
from hostemu.guests.channel import Channel, FrameKind, strings
from hostemu.guests.qemu import QemuGuest, boot, machine
from hostemu.lab import NetNamespace

SAVE_S = 30.0
SAVED_STATES = ("completed", "failed")
IGNORE_SHARED = [{"capability": "x-ignore-shared", "state": True}]
_numbers = itertools.count()


@dataclass(frozen=True)
class Template:
    """ram: the file of its memory.  state: that of its devices.  release: its kernel's."""

    ram: Path
    state: Path
    release: str


def can_be_copied(spec: GuestSpec) -> bool:
    """Whether a machine of this specification can be saved: shared folders cannot, and NICs must all have TAPs."""
    return spec.shares is None and all(isinstance(nic.wire, (Cable, HostInterface)) for nic in spec.nics)


def template_mac(number: int) -> str:
    """The MAC address that NIC `number` of a template has."""
    return f"02:fe:00:00:00:{number:02x}"


def _template_spec(spec: GuestSpec) -> GuestSpec:
    """What all copies have in common."""
    nics = tuple(NicSpec(f"eth{number}", template_mac(number)) for number in range(len(spec.nics)))
    return replace(spec, name="template", nics=nics, sysctls={})


class _TemplateGuest(QemuGuest):
    """A machine that boots to be copied."""

    ram: Path

    def options(self) -> list[str]:
        return [
            *machine(self.spec, self.accelerator, self.ram, is_template=True),
            *boot(self.spec, self.accelerator),
        ]

    def save(self, state: Path, deadline: Deadline) -> str:
        """Boot, empty the caches, stop, write the state of the devices; returns the kernel's release."""
        channel = self.require_running()
        with self._explained():
            channel.wait_ready(deadline)
            channel.checked(FrameKind.WRITE, strings("/proc/sys/vm/drop_caches") + b"3", deadline)
        self.execute("migrate-set-capabilities", capabilities=IGNORE_SHARED)
        self.give_file(state, os.O_WRONLY | os.O_CREAT, "state")
        self.execute("migrate", uri="fd:state")
        deadline.wait_until(lambda: self._migration() in SAVED_STATES, poll_s=0.01)
        if self._migration() != "completed":
            raise GuestError("a template's state cannot be saved", found=str(self.execute("query-migrate")))
        return channel.release

    def _migration(self) -> str:
        said = self.execute("query-migrate")
        return str(said.get("status")) if isinstance(said, dict) else ""


@contextmanager
def _without_log() -> Iterator[None]:
    """Errors name no log, since that goes with the template's folder; they hold its last words."""
    try:
        yield
    except GuestError as error:
        error.log = None
        raise


class TemplateStore:
    """The templates of one kind of machine, made when first asked for, in the lab's memory until it ends."""

    def __init__(self, guest_class: type[QemuGuest]) -> None:
        self._accelerator = guest_class.accelerator
        self._lock = threading.Lock()
        self._templates: dict[GuestSpec | str, Template] = {}

    def get(self, spec: GuestSpec, deadline: Deadline) -> Template:
        """The template that guests of this specification are copies of; GuestError when it cannot be made."""
        common = _template_spec(spec)
        with self._lock:  # the first one makes it, others wait
            key = repr(common)
            if key not in self._templates:
                self._templates[key] = self._make(common, deadline)
            return self._templates[key]

    def _make(self, spec: GuestSpec, deadline: Deadline) -> Template:
        base = LAB_FOLDER / f"template-{os.getpid()}-{next(_numbers)}"
        ram, state = base.with_suffix(".ram"), base.with_suffix(".state")
        with ExitStack() as undo, tempfile.TemporaryDirectory(dir=LAB_FOLDER) as folder:
            undo.callback(ram.unlink, missing_ok=True)
            undo.callback(state.unlink, missing_ok=True)
            with _TemplateGuest(spec, Path(folder)) as guest, _without_log():
                guest.accelerator, guest.ram = self._accelerator, ram
                guest.start(deadline)
                release = guest.save(state, Deadline.after(SAVE_S, "a template to be saved"))
                guest.kill()
            undo.pop_all()
        return Template(ram, state, release)


class QemuClone(QemuGuest):
    """A copy of a template."""

    def __init__(
        self, spec: GuestSpec, workdir: Path, site: NetNamespace | None, store: TemplateStore, accelerator: str
    ) -> None:
        super().__init__(spec, workdir, site)
        self.accelerator = accelerator
        self._store = store
        self._template: Template | None = None

    def start(self, deadline: Deadline) -> None:
        if self._template is None:
            self._template = self._store.get(self.spec, deadline)
        super().start(deadline)

    def options(self) -> list[str]:
        return [*machine(self.spec, self.accelerator, self._the_template().ram), "-incoming", "defer"]

    def await_agent(self, channel: Channel, deadline: Deadline) -> None:
        """Let the copy go on where the template stopped; its agent has told the template's host that it is ready."""
        template = self._the_template()
        self.execute("migrate-set-capabilities", capabilities=IGNORE_SHARED)
        self.give_file(template.state, os.O_RDONLY, "state")
        self.execute("migrate-incoming", uri="fd:state")
        channel.request(FrameKind.CLOCK, b"", deadline)
        channel.release = template.release

    def boot_macs(self) -> Sequence[str]:
        return [template_mac(number) for number in range(len(self.spec.nics))]

    def _the_template(self) -> Template:
        if self._template is None:
            raise GuestError(f"guest {self.spec.name} is not started")
        return self._template
