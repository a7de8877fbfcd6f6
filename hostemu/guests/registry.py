"""The backends by name."""

from __future__ import annotations

from hostemu.base.errors import InputError
from hostemu.guests.api import Backend
from hostemu.guests.fake import FakeBackend
from hostemu.guests.netns import NetnsBackend
from hostemu.guests.qemu_backend import KvmBackend, QemuBackend
from hostemu.guests.uml import UmlBackend

_ALL: tuple[Backend, ...] = (NetnsBackend(), UmlBackend(), QemuBackend(), KvmBackend(), FakeBackend())
BACKENDS: dict[str, Backend] = {backend.name: backend for backend in _ALL}


def backend(name: str) -> Backend:
    """The backend of this name; InputError when there is none."""
    if name not in BACKENDS:
        known = ", ".join(sorted(BACKENDS.keys() - {FakeBackend.name}))
        raise InputError(f"no backend named {name!r}", expected=known, found=repr(name))
    return BACKENDS[name]
