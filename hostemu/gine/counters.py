"""What a world has counted, by name."""

from __future__ import annotations

from hostemu.gine import audit
from hostemu.gine.assemble import line_names
from hostemu.gine.health import NamedLineCounters, NodeCounters
from hostemu.gine.network import Network
from hostemu.gine.world import TALLY_NAMES, World

_PORT_COUNTS = (
    "packets_read",
    "packets_written",
    "bytes_read",
    "bytes_written",
    "malformed",
    "write_errors",
    "down_errors",
    "last_errno",
    "closed",
)


def of_lines(world: World, network: Network) -> list[NamedLineCounters]:
    """Packets and bytes of every line, in the order of the links, forward before backward."""
    lines = world.lines.copy()
    names = line_names(network.links)
    return [
        NamedLineCounters(
            name=name,
            direction=direction,
            **{field: int(line[field]) for field in audit.LINE_FIELDS},
        )
        for line, (name, direction) in zip(lines, names, strict=False)
    ]


def of_nodes(world: World, network: Network) -> list[NodeCounters]:
    """Packets at every port, switch and router."""
    ports = [
        NodeCounters("port", port.name, {name: int(row[name]) for name in _PORT_COUNTS})
        for port, row in zip(network.ports, world.ports.copy(), strict=False)
    ]
    nodes = [("switch", switch.name) for switch in network.switches]
    nodes += [("router", router.name) for router in network.routers]
    rows = world.tally.tolist()
    return ports + [
        NodeCounters(kind, name, dict(zip(TALLY_NAMES, row, strict=True)))
        for (kind, name), row in zip(nodes, rows, strict=False)
    ]
