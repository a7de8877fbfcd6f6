"""Do the counters of a stopped engine add up?  Every packet is somewhere, or was counted when it went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

import numpy as np

from hostemu.gine.network import Network
from hostemu.gine.world import (
    CONSUMED,
    COPIES,
    DROP_MALFORMED,
    FLOODED,
    FORWARDED,
    HELD,
    ORIGINATED,
    RECEIVED,
    TALLIES,
    TO_PORT,
    TO_SWITCH,
    World,
)
from hostemu.lines.spec import LineCounters

LINE_FIELDS = tuple(field.name for field in fields(LineCounters))


def imbalances(world: World, network: Network) -> list[str]:
    """Every sum that does not add up, in words."""
    found = [*_of_lines(world, network), *_of_ports(world, network), *_of_nodes(world, network)]
    sent = world.ports.packets_read.sum() + world.tally[:, [FORWARDED, ORIGINATED, COPIES]].sum()
    offered = world.lines.frames_in.sum() + world.state[0].packets_discarded
    if sent != offered:
        found.append(f"nodes sent {sent} packets, lines were offered {offered}")
    return found


def _of_lines(world: World, network: Network) -> Iterator[str]:
    """In flight by the counters, against what the heap holds."""
    on_line = np.zeros(len(world.lines), np.int64)
    waiting = world.heap.item[: world.heap.size[0]]
    np.add.at(on_line, world.frames.line[waiting], world.frames.packets[waiting])
    rows = world.lines
    counted = rows.frames_in - rows.frames_out - rows.frames_lost - rows.frames_dropped
    for k in np.flatnonzero(on_line != counted):
        name = network.links[k // 2].name
        yield f"line {name!r}, way {k % 2}: {counted[k]} packets in flight, {on_line[k]} in the heap"


def _of_ports(world: World, network: Network) -> Iterator[str]:
    for port, row in zip(network.ports, world.ports, strict=False):
        arrived = world.lines[row.line ^ 1].frames_out
        disposed = row.packets_written + row.write_errors + row.down_errors
        if arrived != disposed:
            yield f"port {port.name!r}: {arrived} packets arrived, {disposed} written or refused"


def _of_nodes(world: World, network: Network) -> Iterator[str]:
    arrived = np.zeros(len(world.tally), np.int64)
    for line, hop in zip(world.lines[: 2 * len(network.links)], world.hops, strict=False):
        if hop.kind == TO_SWITCH:
            arrived[world.switches[hop.node].node] += line.frames_out
        elif hop.kind != TO_PORT:
            arrived[world.routers[world.interfaces[hop.node].router].node] += line.frames_out
    went = [FORWARDED, FLOODED, CONSUMED, HELD, *range(DROP_MALFORMED, TALLIES)]
    names = [switch.name for switch in network.switches] + [router.name for router in network.routers]
    for k, name in enumerate(names):
        tally = world.tally[k]
        if not arrived[k] == tally[RECEIVED] == tally[went].sum():
            yield f"{name!r}: {arrived[k]} arrived, {tally[RECEIVED]} received, {tally[went].sum()} disposed of"
