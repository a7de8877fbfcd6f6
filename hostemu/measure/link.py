"""Addresses of many hosts, each on a line of its own to a router."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from hostemu.gine import Network, Port, Router
from hostemu.guests.api import NicSpec
from hostemu.measure.bench import NIC

LINKS = IPv4Address("10.64.0.0")
"""A /30 per host: network, router, host, broadcast."""


@dataclass(frozen=True)
class Link:
    """Addresses of host number 0, 1, … on its own line to the router; everybody knows who is at the other end."""

    number: int

    @property
    def address(self) -> str:
        """The host's."""
        return str(LINKS + 4 * self.number + 2)

    @property
    def gateway(self) -> str:
        """The router's."""
        return str(LINKS + 4 * self.number + 1)

    def mac(self, kind: int) -> str:
        """The MAC address of the host (0) or of the router (1) on this line."""
        octets = (2, kind, *self.number.to_bytes(4, "big"))
        return ":".join(f"{octet:02x}" for octet in octets)

    def nic(self) -> NicSpec:
        """The host's NIC."""
        return NicSpec(
            NIC,
            self.mac(0),
            addresses=(f"{self.address}/30",),
            routes=(("0.0.0.0/0", self.gateway),),
            neighbours=((self.gateway, self.mac(1)),),
        )

    def gateway_nic(self, name: str) -> NicSpec:
        """The router's NIC, of this name, where the router is a namespace or a guest."""
        return NicSpec(
            name, self.mac(1), addresses=(f"{self.gateway}/30",), neighbours=((self.address, self.mac(0)),)
        )

    def connect(self, network: Network, router: Router, port: Port) -> None:
        """Join the host's port with the emulator's router."""
        line = network.connect(port, router)
        router.interface(line, mac=self.mac(1), addresses=(f"{self.gateway}/30",))
        router.neighbour(self.address, self.mac(0))
