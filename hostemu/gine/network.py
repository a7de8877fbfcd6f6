"""The network that a user draws: ports, switches and routers, joined by lines."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, TypeVar

from hostemu.base.errors import InputError
from hostemu.gine.routes import Address, Prefix
from hostemu.lines.spec import LineSpec

InterfaceAddress: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface
PERFECT = LineSpec()

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_GROUP_BIT = 1 << 40
_NO_FD = -1


@dataclass(frozen=True)
class Simulated:
    """A host that is native code: its function, as hostemu.gine.simulated has it, and what that is called with.

    check: raises what has gone wrong in it, and could not be told from native code.
    """

    call: int
    handle: int
    check: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Port:
    """Where frames enter and leave: a non-blocking file descriptor, frames behind a 10-byte virtio_net_hdr.

    host: that is simulated behind the port, which then has no descriptor.
    """

    name: str
    fd: int
    host: Simulated | None = None


@dataclass(frozen=True)
class Switch:
    """A learning Ethernet switch."""

    name: str


@dataclass(frozen=True)
class Link:
    """A line between two nodes; `forward` is what first → second is like."""

    name: str
    first: Node
    second: Node
    forward: LineSpec
    backward: LineSpec


@dataclass(frozen=True)
class Interface:
    """A router's end of a link."""

    link: Link
    mac: int
    addresses: tuple[InterfaceAddress, ...]


@dataclass(eq=False)
class Router:
    """An IPv4 and IPv6 router."""

    name: str
    interfaces: list[Interface] = field(default_factory=list)
    routes: list[tuple[Prefix, Address]] = field(default_factory=list)
    neighbours: dict[Address, int] = field(default_factory=dict)

    def interface(self, link: Link, mac: str, addresses: Sequence[str]) -> Interface:
        """Give the router's end of `link` a MAC address and addresses such as "10.0.0.1/30" or "fd00::1/126"."""
        if (link.first is self) == (link.second is self):
            raise InputError(
                f"router {self.name!r} has no interface on link {link.name!r}",
                expected="a link with this router at one end",
                found=f"{link.first.name!r} to {link.second.name!r}",
            )
        if any(interface.link is link for interface in self.interfaces):
            raise InputError(f"router {self.name!r} already has an interface on link {link.name!r}")
        made = Interface(link, parse_mac(mac), tuple(parse_interface_address(text) for text in addresses))
        for address in made.addresses:
            self._check_new_address(address)
        self.interfaces.append(made)
        return made

    def _check_new_address(self, new: InterfaceAddress) -> None:
        for interface in self.interfaces:
            for old in interface.addresses:
                if old.network == new.network or old.ip == new.ip:
                    raise InputError(
                        f"router {self.name!r} has {old} on link {interface.link.name!r} already",
                        expected="a subnet of its own for every interface",
                        found=str(new),
                    )

    def route(self, prefix: str, via: str) -> None:
        """Send what is for `prefix` to the next hop `via`, an address in the subnet of an interface."""
        network, next_hop = parse_prefix(prefix), parse_address(via)
        if network.version != next_hop.version:
            raise InputError(f"a route mixes IPv4 and IPv6: {prefix} via {via}", expected="one family", found="two")
        if any(known == network for known, _ in self.routes):
            raise InputError(f"router {self.name!r} has a route for {network} already")
        self.routes.append((network, next_hop))

    def neighbour(self, address: str, mac: str) -> None:
        """The MAC address of a next hop, for good; without it the router asks by ARP or neighbour discovery."""
        self.neighbours[parse_address(address)] = parse_mac(mac)


Node: TypeAlias = Port | Switch | Router
AnyNode = TypeVar("AnyNode", Port, Switch, Router)


class Network:
    """A network under construction.  `seed` names the lines' loss draws."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.ports: list[Port] = []
        self.switches: list[Switch] = []
        self.routers: list[Router] = []
        self.links: list[Link] = []
        self._nodes: dict[str, Node] = {}
        self._link_names: set[str] = set()
        self._connected_ports: set[str] = set()

    def port(self, name: str, fd: int) -> Port:
        """A port; the file descriptor stays the caller's, and open as long as an engine runs."""
        if any(port.fd == fd for port in self.ports):
            raise InputError(f"file descriptor {fd} is a port already", hint="open one for each port")
        self.ports.append(self._add(Port(name, fd)))
        return self.ports[-1]

    def simulated(self, name: str, host: Simulated) -> Port:
        """A port with a simulated host, which stays the caller's, and is there as long as an engine runs."""
        self.ports.append(self._add(Port(name, _NO_FD, host)))
        return self.ports[-1]

    def switch(self, name: str) -> Switch:
        """A learning switch."""
        self.switches.append(self._add(Switch(name)))
        return self.switches[-1]

    def router(self, name: str) -> Router:
        """A router; its interfaces are given once its links are."""
        self.routers.append(self._add(Router(name)))
        return self.routers[-1]

    def connect(
        self,
        first: Node,
        second: Node,
        *,
        name: str | None = None,
        forward: LineSpec = PERFECT,
        backward: LineSpec = PERFECT,
    ) -> Link:
        """Join two nodes by a line; `forward` is first → second.  Raises InputError for impossible joints."""
        name = f"{first.name}-{second.name}" if name is None else name
        if name in self._link_names:
            raise InputError(f"there is a link {name!r} already", hint="give links names of their own")
        if first is second:
            raise InputError(f"link {name!r} joins {first.name!r} to itself")
        for node in (first, second):
            if self._nodes.get(node.name) is not node:
                raise InputError(f"{node.name!r} is a node of another network")
            if isinstance(node, Port):
                self._occupy(node)
        self._link_names.add(name)
        self.links.append(Link(name, first, second, forward, backward))
        return self.links[-1]

    def _add(self, node: AnyNode) -> AnyNode:
        if node.name in self._nodes:
            raise InputError(f"there is a node {node.name!r} already", hint="give nodes names of their own")
        self._nodes[node.name] = node
        return node

    def _occupy(self, port: Port) -> None:
        if port.name in self._connected_ports:
            raise InputError(f"port {port.name!r} has a line already", hint="put a switch between")
        self._connected_ports.add(port.name)


def parse_mac(text: str) -> int:
    """The number of a station's MAC address such as "02:00:00:00:00:01"; InputError when it is none."""
    number = int(text.replace(":", ""), 16) if _MAC.fullmatch(text) else 0
    if number == 0 or number & _GROUP_BIT:
        raise InputError(
            f"not a MAC address of a station: {text!r}", expected="such as '02:00:00:00:00:01'", found=text
        )
    return number


def parse_address(text: str) -> Address:
    """An IPv4 or IPv6 address; InputError when it is none, or link-local."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise InputError(f"not an address: {text!r}", expected="IPv4 or IPv6", found=text) from error
    if address.version == 6 and address.is_link_local:
        raise InputError(f"a link-local address is not routed: {text}", hint="use one of fd00::/8")
    return address


def parse_prefix(text: str) -> Prefix:
    """A prefix such as "10.64.0.0/16"; InputError when it is none."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise InputError(
            f"not a prefix: {text!r}", expected="such as '10.64.0.0/16' or 'fd01::/64'", found=str(error)
        ) from error


def parse_interface_address(text: str) -> InterfaceAddress:
    """An address with its prefix length such as "10.0.0.1/30"; InputError when it is none."""
    try:
        address = ipaddress.ip_interface(text)
    except ValueError as error:
        raise InputError(
            f"not an interface's address: {text!r}", expected="such as '10.0.0.1/30'", found=str(error)
        ) from error
    parse_address(str(address.ip))
    return address
