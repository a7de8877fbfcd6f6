"""From a drawn network to the tables that the compiled engine works on."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np

from hostemu.base.errors import InputError
from hostemu.gine.neighbours import add_neighbour
from hostemu.gine.network import Interface, Link, Network, Node, Port, Router, Switch
from hostemu.gine.routes import Address, Prefix, address_number, fill_ranges, flatten, halves
from hostemu.gine.world import (
    BROADCAST,
    CONNECTED,
    GATEWAY,
    LOCAL,
    NEVER_NS,
    NONE,
    RANGE,
    ROUTE,
    STATIC,
    TO_PORT,
    TO_ROUTER,
    TO_SWITCH,
    World,
    empty_world,
    table,
)
from hostemu.lines.model import LineState, line_key

DIRECTIONS = ("forward", "backward")
_SMALLEST_TABLE = 16384


@dataclass(frozen=True)
class _Route:
    """A row of `routes`."""

    kind: int
    interface: int
    via: int
    source: int


def assemble(network: Network, frames: int) -> World:
    """The world of a network, at rest.  Raises InputError for a network that cannot work."""
    _refuse_loops(network)
    unconnected = {port.name for port in network.ports} - {
        node.name for link in network.links for node in (link.first, link.second)
    }
    if unconnected:
        raise InputError(f"ports without a line: {', '.join(sorted(unconnected))}", hint="connect them")
    statics = sum(len(router.neighbours) for router in network.routers)
    links = len(network.links)
    world = empty_world(
        frames=frames,
        lines=2 * links,
        ports=len(network.ports),
        highest_fd=max((port.fd for port in network.ports), default=0),
        switches=len(network.switches),
        routers=len(network.routers),
        macs=_power_of_two(max(_SMALLEST_TABLE, 4 * links)),
        neighbours=_power_of_two(max(_SMALLEST_TABLE, 4 * (links + statics))),
    )
    _fill_lines(world, network)
    _fill_ports(world, network)
    _fill_switches(world, network)
    return _fill_routers(world, network)


def _power_of_two(at_least: int) -> int:
    return 1 << (at_least - 1).bit_length()


def _refuse_loops(network: Network) -> None:
    """Switches without a spanning tree must form a forest, or broadcasts would circle for ever."""
    root: dict[str, str] = {switch.name: switch.name for switch in network.switches}

    def find(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for link in network.links:
        if isinstance(link.first, Switch) and isinstance(link.second, Switch):
            one, other = find(link.first.name), find(link.second.name)
            if one == other:
                raise InputError(
                    f"link {link.name!r} closes a loop of switches",
                    expected="a tree: there is no spanning tree protocol",
                    hint="take the link out, or put a router in",
                )
            root[one] = other


def _fill_lines(world: World, network: Network) -> None:
    for k, link in enumerate(network.links):
        for way, spec in enumerate((link.forward, link.backward)):
            state = LineState.of(spec, line_key(network.seed, link.name, DIRECTIONS[way]))
            world.lines[2 * k + way] = astuple(state)


def _ends(network: Network) -> list[tuple[int, Node, Node]]:
    """Each line with the nodes it comes from and leads to."""
    rows: list[tuple[int, Node, Node]] = []
    for k, link in enumerate(network.links):
        rows += [(2 * k, link.first, link.second), (2 * k + 1, link.second, link.first)]
    return rows


def _fill_ports(world: World, network: Network) -> None:
    index = {port.name: k for k, port in enumerate(network.ports)}
    for k, port in enumerate(network.ports):
        world.ports[k].fd = port.fd
        world.ports[k].next_ns = NEVER_NS
        if port.host is None:
            world.port_of_fd[port.fd] = k
        else:
            world.ports[k].call, world.ports[k].handle = port.host.call, port.host.handle
            world.ports[k].next_ns = world.state[0].simulated_ns = 0  # it is asked at once what it wants
    for line, source, target in _ends(network):
        if isinstance(source, Port):
            world.ports[index[source.name]].line = line
        if isinstance(target, Port):
            world.hops[line].kind = TO_PORT
            world.hops[line].node = index[target.name]


def _fill_switches(world: World, network: Network) -> None:
    index = {switch.name: k for k, switch in enumerate(network.switches)}
    outgoing: list[list[int]] = [[] for _ in network.switches]
    for line, source, target in _ends(network):
        if isinstance(source, Switch):
            outgoing[index[source.name]].append(line)
        if isinstance(target, Switch):
            world.hops[line].kind = TO_SWITCH
            world.hops[line].node = index[target.name]
    first = 0
    for k, lines in enumerate(outgoing):
        world.switches[k] = (k, first, len(lines))
        world.switch_lines[first : first + len(lines)] = lines
        first += len(lines)


def _fill_routers(world: World, network: Network) -> World:
    index = {id(link): k for k, link in enumerate(network.links)}
    routes: list[_Route] = []
    ranges: list[tuple[int, int]] = []
    row = 0
    for k, router in enumerate(network.routers):
        _refuse_bare_links(network, router)
        rows = range(row, row + len(router.interfaces))
        for interface, own in zip(rows, router.interfaces, strict=True):
            _fill_interface(world, interface, k, router, own, 2 * index[id(own.link)])
        mine = flatten(_routes_of(router, rows, routes))
        world.routers[k] = (len(network.switches) + k, len(ranges), len(mine))
        ranges += mine
        _fill_neighbours(world, router, rows)
        row += len(rows)
    world = world._replace(ranges=table(RANGE, len(ranges)), routes=table(ROUTE, len(routes)))
    if ranges:
        fill_ranges(world.ranges, ranges)
    for k, route in enumerate(routes):
        world.routes[k] = (*halves(route.via), *halves(route.source), route.kind, route.interface)
    return world


def _refuse_bare_links(network: Network, router: Router) -> None:
    dressed = {id(interface.link) for interface in router.interfaces}
    for link in network.links:
        if router in (link.first, link.second) and id(link) not in dressed:
            raise InputError(
                f"router {router.name!r} has no interface on link {link.name!r}",
                hint="call router.interface(link, mac=…, addresses=…)",
            )


def _fill_interface(world: World, row: int, router_id: int, router: Router, own: Interface, forward: int) -> None:
    outgoing = forward if own.link.first is router else forward + 1
    world.interfaces[row] = (router_id, outgoing, own.mac)
    world.hops[outgoing ^ 1].kind = TO_ROUTER
    world.hops[outgoing ^ 1].node = row


def _routes_of(router: Router, rows: Sequence[int], routes: list[_Route]) -> list[tuple[Prefix, int]]:
    """The router's prefixes, and their rows in `routes`, to which they are added; the first of equals counts."""
    found: list[tuple[Prefix, int]] = []

    def add(prefix: Prefix, route: _Route) -> None:
        found.append((prefix, len(routes)))
        routes.append(route)

    for row, interface in zip(rows, router.interfaces, strict=True):
        for address in interface.addresses:
            source = address_number(address.ip)
            add(ipaddress.ip_network(address.ip), _Route(LOCAL, row, 0, source))
            if address.version == 4 and address.network.prefixlen < 31:
                for end in (address.network.network_address, address.network.broadcast_address):
                    add(ipaddress.ip_network(end), _Route(BROADCAST, row, 0, 0))
    for row, interface in zip(rows, router.interfaces, strict=True):
        for address in interface.addresses:
            add(address.network, _Route(CONNECTED, row, 0, address_number(address.ip)))
    for prefix, via in router.routes:
        row, source = _subnet_of(router, rows, via)
        add(prefix, _Route(GATEWAY, row, address_number(via), source))
    return found


def _subnet_of(router: Router, rows: Sequence[int], next_hop: Address) -> tuple[int, int]:
    """The interface whose subnet holds the next hop, and the router's own address there."""
    best: tuple[int, int, int] | None = None
    for row, interface in zip(rows, router.interfaces, strict=True):
        for address in interface.addresses:
            if next_hop == address.ip:
                raise InputError(f"router {router.name!r} is its own next hop: {next_hop}")
            if next_hop in address.network and (best is None or address.network.prefixlen > best[0]):
                best = (address.network.prefixlen, row, address_number(address.ip))
    if best is None:
        raise InputError(
            f"router {router.name!r} cannot reach {next_hop}",
            expected="a next hop or neighbour in the subnet of an interface",
            found=", ".join(str(a) for i in router.interfaces for a in i.addresses) or "no addresses",
        )
    return best[1], best[2]


def _fill_neighbours(world: World, router: Router, rows: Sequence[int]) -> None:
    for address, mac in router.neighbours.items():
        interface, _ = _subnet_of(router, rows, address)
        high, low = halves(address_number(address))
        with np.errstate(over="ignore"):  # the plain form of a compiled function, whose hash wraps around
            row = add_neighbour(world, interface, np.uint64(high), np.uint64(low))
        if row == NONE:
            raise InputError(f"too many static neighbours around {address}", hint="leave some to ARP")
        entry = world.neighbours[row]
        entry.state = STATIC
        entry.mac = mac


def line_names(links: Sequence[Link]) -> list[tuple[str, str]]:
    """Name and direction of each line, in the order of `lines`."""
    return [(link.name, direction) for link in links for direction in DIRECTIONS]
