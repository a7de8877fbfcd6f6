"""What a guest's network interfaces are, and what they are joined to."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Cable:
    """The NIC's frames are read and written at Guest.nic_fd: a port for the emulator."""


@dataclass(frozen=True)
class HostInterface:
    """The NIC leads to an interface of the site, the host's namespace that the guest is created in (thesis, fig. 1).

    far: that interface; it is made and configured when the guest starts, and is there as long as the namespace.
    """

    far: NicSpec


@dataclass(frozen=True)
class Multicast:
    """QEMU's multicast socket: all NICs of one group in one site are in one network (thesis, figure 2)."""

    group: str = "230.0.0.1"
    port: int = 1102


@dataclass(frozen=True)
class SwitchPort:
    """A port of a switch daemon (thesis, figure 2, for UML).  control: see hostemu.guests.switch_daemon."""

    control: Path


Wire = Cable | HostInterface | Multicast | SwitchPort


@dataclass(frozen=True)
class NicSpec:
    """One network interface of a guest.

    wire: what it is joined to.
    addresses: with prefix length, such as "10.0.0.2/30".  routes: (prefix, gateway).  neighbours: (address, MAC).
    local_prefixes: networks whose every address is the guest's own.  mtu: bytes.
    segmentation_offload: its kernel may hand over several packets as one frame, which is cut later, if ever.
    """

    name: str
    mac: str
    addresses: tuple[str, ...] = ()
    routes: tuple[tuple[str, str], ...] = ()
    local_prefixes: tuple[str, ...] = ()
    neighbours: tuple[tuple[str, str], ...] = ()
    mtu: int = 1500
    segmentation_offload: bool = True
    wire: Wire = Cable()

    @property
    def settings(self) -> dict[str, Any]:
        """What its kernel is told, as arguments of NetNamespace.configure and rtnetlink.configure."""
        segments = None if self.segmentation_offload else 1
        return {**self.link_settings, "local_prefixes": self.local_prefixes, "most_segments": segments}

    @property
    def link_settings(self) -> dict[str, Any]:
        """Those that a kernel forgets while the interface is down."""
        return {"addresses": self.addresses, "neighbours": self.neighbours, "routes": self.routes}


_TRAFFIC_COLUMNS = {"rx_bytes": 0, "rx_frames": 1, "tx_bytes": 8, "tx_frames": 9}  # of /proc/net/dev, proc(5)


def traffic(text: str, names: set[str]) -> dict[str, int]:
    """The counters of these interfaces in a /proc/net/dev, added up."""
    total = dict.fromkeys(_TRAFFIC_COLUMNS, 0)
    for line in text.splitlines()[2:]:
        name, _, counters = line.partition(":")
        if name.strip() in names:
            values = counters.split()
            for key, column in _TRAFFIC_COLUMNS.items():
                total[key] += int(values[column])
    return total
