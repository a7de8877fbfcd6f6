"""The address plan: every host and terminal has an address of its own, and ranges cover lists exactly."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.runner.layout import plan_layout
from hostemu.scenario import Scenario, load_scenario
from hostemu.scenario.derive import FIRST_DEVICE_ID


def fleet(terminals: int, per_guest: int) -> Scenario:
    """The smoke scenario with another fleet."""
    sizes = [f"fleet.terminals={terminals}", f"fleet.terminals_per_guest={per_guest}"]
    return load_scenario("smoke", [*sizes, "retrieval.list_size=1000", "retrieval.concurrency=1"])


@given(st.integers(1, 3000), st.integers(1, 300))
def test_every_terminal_is_in_one_guest(terminals: int, per_guest: int) -> None:
    layout = plan_layout(fleet(terminals, per_guest))
    assert sum(farm.count for farm in layout.farms) == terminals
    addresses = {farm.address(offset) for farm in layout.farms for offset in range(farm.count)}
    assert len(addresses) == terminals
    assert all(farm.address(farm.count - 1) in farm.block for farm in layout.farms)


@given(st.integers(1, 400), st.integers(1, 50))
def test_hosts_share_no_address_and_no_mac(terminals: int, per_guest: int) -> None:
    hosts = list(plan_layout(fleet(terminals, per_guest)).hosts())
    addresses = {address for host in hosts for address in (host.address, host.router_address)}
    assert len(addresses) == 2 * len(hosts)
    assert len({mac for host in hosts for mac in (host.mac, host.router_mac)}) == 2 * len(hosts)
    assert len({host.name for host in hosts}) == len({host.line for host in hosts}) == len(hosts)


@given(st.data(), st.integers(1, 500), st.integers(1, 60))
def test_ranges_cover_a_list_exactly(data: st.DataObject, terminals: int, per_guest: int) -> None:
    layout = plan_layout(fleet(terminals, per_guest))
    first = data.draw(st.integers(0, terminals - 1))
    count = data.draw(st.integers(1, terminals - first))
    ids = [r.first_device_id + k for r in layout.ranges(first, count) for k in range(r.count)]
    assert ids == list(range(FIRST_DEVICE_ID + first, FIRST_DEVICE_ID + first + count))


def test_a_fleet_without_enough_addresses_is_bad_input() -> None:
    with pytest.raises(InputError, match="does not fit the address plan"):
        plan_layout(fleet(20_000_000, 100_000))
