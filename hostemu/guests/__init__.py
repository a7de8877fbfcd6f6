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
from hostemu.guests.registry import BACKENDS, backend

__all__ = [
    "BACKENDS",
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
]
