"""Longest-prefix match against the standard library's notion of networks."""

from __future__ import annotations

import ipaddress

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from hostemu.gine.routes import Address, Prefix, address_number, fill_ranges, find_route, flatten, halves
from hostemu.gine.shared import Shared
from hostemu.gine.world import NONE, RANGE, World, empty_world, table, world_at


def v4_prefix(value: int, length: int) -> Prefix:
    return ipaddress.ip_network((value, length), strict=False)


def v6_prefix(value: int, length: int) -> Prefix:
    return ipaddress.ip_network((value << 32, length), strict=False)


# Few bits vary, so that prefixes nest and addresses hit their edges.
values_v4 = st.integers(0, 15).map(lambda value: value << 28) | st.integers(0, 2**32 - 1)
values_v6 = st.integers(0, 15).map(lambda value: value << 92) | st.integers(0, 2**96 - 1)
prefixes = st.builds(v4_prefix, values_v4, st.integers(0, 32)) | st.builds(v6_prefix, values_v6, st.integers(0, 128))
mapped = ipaddress.ip_network("::ffff:0:0/96")
tables = st.lists(prefixes.filter(lambda prefix: prefix.version == 4 or not prefix.overlaps(mapped)), max_size=12)


@njit  # type: ignore[misc]
def _find_compiled(address: int, high: int, low: int) -> int:
    return find_route(world_at(address), 0, high, low)


def best(routes: list[Prefix], address: Address) -> int:
    fitting = [k for k, prefix in enumerate(routes) if prefix.version == address.version and address in prefix]
    return max(fitting, key=lambda k: (routes[k].prefixlen, -k), default=NONE)


def edges(routes: list[Prefix]) -> list[Address]:
    found: list[Address] = [ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("2001:db8::1")]
    for prefix in routes:
        for end in (prefix[0], prefix[-1]):
            numbers = (int(end) - 1, int(end), int(end) + 1)
            found += [type(end)(n) for n in numbers if 0 <= n < 1 << end.max_prefixlen]  # type: ignore[misc]
    return [a for a in found if a.version == 4 or a not in mapped]


def world_of(routes: list[Prefix]) -> World:
    sizes = dict.fromkeys(("frames", "lines", "ports", "highest_fd", "switches", "routers", "macs", "neighbours"), 1)
    ranges = flatten([(prefix, k) for k, prefix in enumerate(routes)])
    world = empty_world(**sizes)._replace(ranges=table(RANGE, len(ranges)))
    fill_ranges(world.ranges, ranges)
    world.routers[0].ranges = len(ranges)
    return world


@settings(deadline=None)
@given(tables)
def test_the_longest_fitting_prefix_wins(routes: list[Prefix]) -> None:
    world = world_of(routes)
    shared = Shared(world)
    for address in edges(routes):
        high, low = (np.uint64(half) for half in halves(address_number(address)))
        expected = best(routes, address)
        assert find_route(world, 0, high, low) == expected
        assert _find_compiled(shared.address, high, low) == expected
