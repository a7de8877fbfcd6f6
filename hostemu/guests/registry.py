"""The backends by name."""

from __future__ import annotations

from collections.abc import Mapping

from hostemu.base.errors import HostError, InputError
from hostemu.guests.api import Backend, Probe
from hostemu.guests.fake import FakeBackend
from hostemu.guests.netns import NetnsBackend
from hostemu.guests.qemu_backend import KvmBackend, QemuBackend
from hostemu.guests.uml import UmlBackend

_ALL: tuple[Backend, ...] = (NetnsBackend(), UmlBackend(), QemuBackend(), KvmBackend(), FakeBackend())
BACKENDS: dict[str, Backend] = {backend.name: backend for backend in _ALL}

AUTO = "auto"
"""In the place of a backend's name: the machine emulator that works best."""

MACHINES = ("kvm", "qemu")
"""Emulators of whole machines, the fastest first."""


def backend(name: str) -> Backend:
    """The backend of this name; InputError when there is none."""
    if name not in BACKENDS:
        known = ", ".join(sorted(offered()))
        raise InputError(f"no backend named {name!r}", expected=f"{known}, {AUTO}", found=repr(name))
    return BACKENDS[name]


def offered() -> list[str]:
    """The backends that play scenarios, by name."""
    return [name for name in BACKENDS if name != FakeBackend.name]


def choose(probes: Mapping[str, Probe]) -> tuple[str, str]:
    """What `--backend auto` takes, and why: kvm where it works, else qemu (TCG).

    They are the two ways to run the same machine, so that what works in one guest works in the other; kvm runs it at
    the speed of the CPU.  netns and uml are other kinds of guests, and are taken only by name.
    probes: what was found by trying, by backend.  HostError, with every reason, when neither is usable.
    """
    passed_over: list[str] = []
    for name in MACHINES:
        probe = probes.get(name, Probe(False, "this version has no such backend"))
        if probe.usable:
            return name, "; ".join([probe.reason, *passed_over])
        passed_over.append(f"{name} is unusable because {probe.reason}")
    fixes = [f"{name}: {probes[name].fix}" for name in reversed(MACHINES) if name in probes and probes[name].fix]
    raise HostError(
        "no machine emulator works here",
        expected=" or ".join(MACHINES),
        found="; ".join(passed_over),
        hint="; ".join([*fixes, "name another backend with --backend"]),
    )
