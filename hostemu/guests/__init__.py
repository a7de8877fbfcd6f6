"""Guests: emulated hosts, of several kinds behind one interface."""

from hostemu.guests.api import (
    Backend,
    Finished,
    Guest,
    GuestProcess,
    GuestSpec,
    NicSpec,
    Preparation,
    Probe,
    Usage,
)
from hostemu.guests.registry import AUTO, BACKENDS, MACHINES, backend, choose, offered

__all__ = [
    "AUTO",
    "BACKENDS",
    "MACHINES",
    "Backend",
    "Finished",
    "Guest",
    "GuestProcess",
    "GuestSpec",
    "NicSpec",
    "Preparation",
    "Probe",
    "Usage",
    "backend",
    "choose",
    "offered",
]
