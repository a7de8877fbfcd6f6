"""Longest-prefix match for IPv4 and IPv6 in one table.

Prefixes nest or are disjoint, so that they cut the 128-bit line of addresses into ranges with one best route each;
a look-up is a binary search for the range.  IPv4 lives at ::ffff:0:0/96.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from hostemu.gine.world import NONE, Records, World
from hostemu.lines.compiling import compilable

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Prefix: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_V4_BASE = 0xFFFF << 32
_V4_BITS = 96
_HALF = (1 << 64) - 1


def address_number(address: Address) -> int:
    """The address in 128 bits."""
    return int(address) + (_V4_BASE if address.version == 4 else 0)


def halves(number: int) -> tuple[int, int]:
    """High and low 64 bits."""
    return number >> 64, number & _HALF


def prefix_span(prefix: Prefix) -> tuple[int, int]:
    """First and last address of a prefix, in 128 bits."""
    return address_number(prefix[0]), address_number(prefix[-1])


def flatten(routes: Sequence[tuple[Prefix, int]]) -> list[tuple[int, int]]:
    """Ranges (first address, route or NONE) in ascending order; each reaches to the next.

    Of routes with one prefix the first counts.
    """
    spans = _sorted_spans(routes)
    ranges: list[tuple[int, int]] = [(0, NONE)]
    nest: list[tuple[int, int]] = []  # last address and route of the prefixes that are open
    for first, last, route in spans:
        _close_before(first, nest, ranges)
        ranges.append((first, route))
        nest.append((last, route))
    _close_before(1 << 128, nest, ranges)
    return _without_overwritten(ranges)


def _sorted_spans(routes: Sequence[tuple[Prefix, int]]) -> Iterable[tuple[int, int, int]]:
    best: dict[tuple[int, int], int] = {}
    for prefix, route in routes:
        best.setdefault(prefix_span(prefix), route)
    return sorted(
        ((first, last, route) for (first, last), route in best.items()), key=lambda span: (span[0], -span[1])
    )


def _close_before(address: int, nest: list[tuple[int, int]], ranges: list[tuple[int, int]]) -> None:
    while nest and nest[-1][0] < address:
        last, _ = nest.pop()
        if last + 1 < 1 << 128:
            ranges.append((last + 1, nest[-1][1] if nest else NONE))


def _without_overwritten(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Of ranges with one beginning the last counts."""
    return list(dict(ranges).items())


def fill_ranges(rows: Records, ranges: Sequence[tuple[int, int]]) -> None:
    """Write ranges into records of type RANGE."""
    for row, (first, route) in zip(rows, ranges, strict=True):
        row.high, row.low = halves(first)
        row.route = route


@compilable
def find_route(world: World, router_id: int, high: np.uint64, low: np.uint64) -> int:
    """The route for an address, as a row of `routes`, or NONE."""
    router = world.routers[router_id]
    below = router.first_range  # begins at address 0, so it is never too high
    above = router.first_range + router.ranges
    while above - below > 1:
        middle = (below + above) >> 1
        row = world.ranges[middle]
        if row.high < high or (row.high == high and row.low <= low):
            below = middle
        else:
            above = middle
    return int(world.ranges[below].route)
