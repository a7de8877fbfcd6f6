"""User-mode Linux guests whose clock belongs to a calendar, and whose network interface is served by it.

Facts about options: arch/um/kernel/time.c and arch/um/drivers/virtio_uml.c of the kernel's source (Linux 6.1).
"""

from __future__ import annotations

import hashlib
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hostemu.base.errors import HostError
from hostemu.guests.api import GuestSpec, NicSpec
from hostemu.guests.booting import kernel_for
from hostemu.guests.channel import SEED_BYTES, Channel, FrameKind, answer_soon
from hostemu.guests.kernels import find_kernel
from hostemu.guests.switchboard import Board
from hostemu.guests.symbols import symbol_address
from hostemu.guests.uml import UmlGuest, preloaded
from hostemu.lab import NetNamespace

VIRTIO_NET = 1
DELAY = "time_travel_ndelay"
"""The kernel's function by which it works for so long (arch/um/kernel/time.c, Linux 6.1)."""

INTERFACE = "calendar"
"""By this name the library that is loaded into the kernel's process knows its network interfaces."""


def require_clock(given: Path | None, *, is_charged: bool = False) -> None:
    """HostError when the kernel that guests would boot has no clock that can be driven.  given: as in GuestSpec.

    is_charged: its work is to take time, too.
    """
    kernel = find_kernel("uml", given)
    if kernel.flavour == "distribution":
        raise HostError(
            "virtual time needs a lean kernel",
            expected="one that was built with UML_TIME_TRAVEL_SUPPORT",
            found=f"the distribution's, {kernel.path}",
            hint="hostemu kernel build uml",
        )
    if is_charged and symbol_address(kernel.path, DELAY) is None:
        raise HostError(
            "this kernel's work cannot be charged with time",
            expected=f"a kernel whose symbols have {DELAY}",
            found=f"none in {kernel.path}",
            hint="hostemu kernel build uml",
        )


class Clockwork(Protocol):
    """Whom a guest's time belongs to."""

    @property
    def now_ns(self) -> int:
        """The moment that all guests have come to."""

    @property
    def clock_path(self) -> Path:
        """The socket where guests ask for time."""

    def board(self, number: int) -> Board:
        """What serves the channel to guest `number`, and lets time pass while somebody waits."""

    def wall_ns(self) -> int:
        """The wall time that guests' clocks show now."""


class VirtualUmlGuest(UmlGuest):
    """Guest `number` of a clockwork.  seed: of all its random numbers."""

    def __init__(
        self, spec: GuestSpec, workdir: Path, clockwork: Clockwork, number: int, seed: str, site: NetNamespace
    ) -> None:
        super().__init__(spec, workdir, site)
        self._clockwork = clockwork
        self._number = number
        self._seed = seed

    def virtualisers_environment(self) -> dict[str, str]:
        inherited = super().virtualisers_environment()
        own = {"LD_PRELOAD": str(preloaded("virtual_time")), "HOSTEMU_CALENDAR": str(self._clockwork.clock_path)}
        delay = symbol_address(kernel_for(self.spec, "uml").path, DELAY)
        if delay is not None:
            own["HOSTEMU_NDELAY"] = f"{delay:x}"
        return {**inherited, **own, "HOSTEMU_SEED": self._seed}

    def machine_name(self) -> str:
        """The same in each run: a kernel's randomness takes its command line in."""
        return f"virtual-{self._number}"

    def more_arguments(self) -> Sequence[str]:
        clock = f"time-travel=ext:{self._number}:{self._clockwork.clock_path}"
        return (clock, "virtio_net.napi_tx=0", "norandmaps")

    def nic_argument(self, number: int, nic: NicSpec) -> str:
        return f"virtio_uml.device={INTERFACE}:{VIRTIO_NET}"

    def _open_far_end(self, namespace: NetNamespace, nic: NicSpec) -> None:
        """The clockwork has it."""

    def open_channel(self, sock: socket.socket) -> Channel:
        return Channel(sock, self.spec.name, self.line_bytes, self._clockwork.board(self._number))

    def settle(self, channel: Channel) -> None:
        """Its randomness follows from its seed."""
        seed = hashlib.shake_256(self._seed.encode()).digest(SEED_BYTES)
        payload = struct.pack("<Q", self._clockwork.wall_ns()) + seed
        channel.checked(FrameKind.RESEED, payload, answer_soon("the guest to take a seed"))

    def clock_offset_ns(self) -> int:
        """Exact but for what the agent takes to answer: it reads its clock within a microsecond."""
        asked_ns = self._clockwork.now_ns
        answer = self.require_running().request(FrameKind.CLOCK, b"", answer_soon("the guest's clock"))
        return int.from_bytes(answer[:8], "little") - asked_ns
