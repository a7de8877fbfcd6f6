"""Addresses, names and shares of a scenario's hosts: a pure function of the scenario.

10.0.0.0/9     one /30 per host: network, router, host, broadcast
10.128.0.0/9   the terminals' own addresses: one aligned block per terminal guest
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from hostemu.base.errors import InputError
from hostemu.scenario import Scenario
from hostemu.scenario.derive import FIRST_DEVICE_ID

LINK_BASE = IPv4Address("10.0.0.0")
TERMINAL_SPACE = IPv4Network("10.128.0.0/9")
MAX_LINKS = 1 << 21  # /30 networks in 10.0.0.0/9


@dataclass(frozen=True)
class HostPlan:
    """One host and its line to the router."""

    name: str
    line: str
    address: IPv4Address
    router_address: IPv4Address
    mac: str
    router_mac: str

    @property
    def network(self) -> str:
        """The /30 of the line, as "10.0.0.0/30"."""
        return f"{IPv4Address(int(self.address) - 2)}/30"


@dataclass(frozen=True)
class FarmPlan:
    """A terminal guest: terminals first_index … first_index + count − 1, from first_address on."""

    host: HostPlan
    first_index: int
    count: int
    block: IPv4Network

    def address(self, offset: int) -> IPv4Address:
        """The address of this guest's terminal number `offset`."""
        return self.block.network_address + offset


@dataclass(frozen=True)
class TerminalRange:
    """Consecutive terminals of one guest."""

    first_device_id: int
    first_address: IPv4Address
    count: int


@dataclass(frozen=True)
class Layout:
    """All hosts of a scenario.  real: so many of the farms, the first ones, are guests; the others are simulated."""

    center: HostPlan
    isp: HostPlan
    farms: tuple[FarmPlan, ...]
    real: int

    @property
    def real_farms(self) -> tuple[FarmPlan, ...]:
        """Those that are guests."""
        return self.farms[: self.real]

    @property
    def simulated_farms(self) -> tuple[FarmPlan, ...]:
        """Those that live in the emulator."""
        return self.farms[self.real :]

    def hosts(self) -> Iterator[HostPlan]:
        """Every host: center, ISP host, real guests, simulated ones."""
        yield self.center
        yield self.isp
        yield from (farm.host for farm in self.farms)

    def real_hosts(self) -> Iterator[HostPlan]:
        """Those that are not simulated."""
        yield self.center
        yield self.isp
        yield from (farm.host for farm in self.real_farms)

    def ranges(self, first: int, count: int) -> Iterator[TerminalRange]:
        """Terminals first … first + count − 1, cut at the borders of guests."""
        for farm in self.farms:
            low = max(first, farm.first_index)
            high = min(first + count, farm.first_index + farm.count)
            if low < high:
                address = farm.address(low - farm.first_index)
                yield TerminalRange(FIRST_DEVICE_ID + low, address, high - low)


def _mac(kind: int, number: int) -> str:
    """A locally administered address (IEEE 802 bit 1 of the first octet)."""
    octets = (2, kind, *number.to_bytes(4, "big"))
    return ":".join(f"{octet:02x}" for octet in octets)


SEGMENT_MAC = _mac(2, 0)
"""Of the router's NIC on a network that all guests share."""


def host_plan(number: int, name: str, line: str) -> HostPlan:
    """The addresses of host `number`, whichever it is."""
    base = LINK_BASE + 4 * number
    return HostPlan(name, line, base + 2, base + 1, _mac(0, number), _mac(1, number))


def _farm(scenario: Scenario, guest: int, block_size: int) -> FarmPlan:
    fleet = scenario.fleet
    first = guest * fleet.terminals_per_guest
    count = min(fleet.terminals_per_guest, fleet.terminals - first)
    start = TERMINAL_SPACE.network_address + guest * block_size
    block = IPv4Network((start, 33 - block_size.bit_length()))
    return FarmPlan(host_plan(guest + 2, f"guest-{guest}", f"terminals-{guest}"), first, count, block)


def plan_layout(scenario: Scenario) -> Layout:
    """Every host's addresses; InputError when the scenario has more hosts or terminals than addresses."""
    block_size = 1 << (scenario.fleet.terminals_per_guest - 1).bit_length()
    if scenario.guests + 2 > MAX_LINKS or scenario.guests * block_size > TERMINAL_SPACE.num_addresses:
        raise InputError(
            f"scenario {scenario.name} does not fit the address plan",
            expected=f"at most {MAX_LINKS - 2} guests and {TERMINAL_SPACE.num_addresses} terminal addresses",
            found=f"{scenario.guests} guests with blocks of {block_size} addresses",
            hint="simulate it, or play a part of the fleet for real: --set fleet.terminals=…",
        )
    farms = tuple(_farm(scenario, guest, block_size) for guest in range(scenario.guests))
    return Layout(host_plan(0, "center", "center"), host_plan(1, "isp", "isp"), farms, scenario.real_guests)
