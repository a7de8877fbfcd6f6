"""What every kind of measurement is given, and what it gives back.

A kind of measurement is a function `opened(bench)`: a context manager that sets up what repeats share and yields a
function that measures once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from hostemu.base.deadline import Deadline
from hostemu.guests.api import Backend, Guest, GuestSpec, NicSpec
from hostemu.measure.settings import Figure, Several

AnyFigure = TypeVar("AnyFigure", bound=Figure)

CAMPAIGN_LIMITS = ("the campaign's limit", "the time that the campaign allows")
"""How the reason begins that ended a search or ramp which could have gone further."""

GUEST_ADDRESS, HOST_ADDRESS = "10.0.0.2", "10.0.0.1"
GUEST_MAC, HOST_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
NIC = "eth0"


@dataclass(frozen=True)
class Sample:
    """One measurement.  values: name (with its unit) → number.  raw: what they were made of, as JSON."""

    values: Mapping[str, float]
    raw: Mapping[str, Any] = field(default_factory=dict)


Once = Callable[[], Sample]
Opened = AbstractContextManager[Once]


@dataclass(frozen=True)
class FarmPlan:
    """Terminals to be run in a guest: `count` of them, an address each from `first_address` on, all on `port`.

    is_cycling: they are on and off in turn, as in the thesis' experiment, instead of always on.
    """

    count: int
    first_address: str
    port: int
    is_cycling: bool


@dataclass(frozen=True)
class Farm:
    """How terminals are run in guests of a backend.

    run: (guest, plan, folder, deadline): runs the terminals; they have begun once it is entered, which gives a
        function that raises when they have ended.  An error of our tree when they cannot be run.  folder: of the
        host's.
    files: what the guest must have for that: path in the guest → file here.
    """

    run: Callable[[Guest, FarmPlan, Path, Deadline], AbstractContextManager[Callable[[], None]]]
    files: Callable[[], Mapping[str, Path]] = dict


@dataclass(frozen=True)
class Bench:
    """backend: whose guests are measured.  settings: of the figure.  parameters: of the cell.

    folder: for files, of this block alone.  seed: of the emulator.
    note: tells the user how far it is.  farm: how terminals are run in this backend's guests, None if they cannot be.
    """

    backend: Backend
    settings: Figure
    parameters: Mapping[str, Any]
    folder: Path
    seed: int = 1
    note: Callable[[str], None] = lambda _text: None
    farm: Farm | None = None

    def settings_of(self, kind: type[AnyFigure]) -> AnyFigure:
        """The settings, which are of this kind."""
        if not isinstance(self.settings, kind):
            raise TypeError(f"settings of kind {type(self.settings).__name__}, not {kind.__name__}")
        return self.settings

    def chosen(self, name: str, given: Several) -> int:
        """The value of a setting that may have several: that of the cell, or the only one."""
        return given if isinstance(given, int) else int(self.parameters[name])

    def patience(self, what: str) -> Deadline:
        """The deadline of one measurement."""
        return Deadline.after(self.settings.timeout_ns / 1e9, what)

    def spec(
        self,
        name: str,
        memory_bytes: int,
        nics: tuple[NicSpec, ...] = (),
        programs: tuple[str, ...] = (),
        files: Mapping[str, Path] | None = None,
    ) -> GuestSpec:
        """A guest as the campaign wants it."""
        settings = self.settings
        return GuestSpec(
            name,
            nics,
            memory_bytes,
            settings.sysctls,
            programs=programs,
            files=dict(files or {}),
            is_copy=settings.copies,
        )

    def start(self, guest: Guest) -> None:
        """Start a guest and wait for its answer."""
        deadline = Deadline.after(self.settings.start_ns / 1e9, f"an answer from guest {guest.spec.name}")
        guest.start(deadline)
        guest.wait_ready(deadline)


def guest_nic(*local_prefixes: str) -> NicSpec:
    """The NIC of a guest that talks to the host."""
    return NicSpec(
        NIC,
        GUEST_MAC,
        addresses=(f"{GUEST_ADDRESS}/24",),
        routes=(("0.0.0.0/0", HOST_ADDRESS),),
        neighbours=((HOST_ADDRESS, HOST_MAC),),
        local_prefixes=local_prefixes,
    )


def host_nic(*guest_prefixes: str) -> NicSpec:
    """Its other end, on the host's side."""
    return NicSpec(
        NIC,
        HOST_MAC,
        addresses=(f"{HOST_ADDRESS}/24",),
        routes=tuple((prefix, GUEST_ADDRESS) for prefix in guest_prefixes),
        neighbours=((GUEST_ADDRESS, GUEST_MAC),),
    )
