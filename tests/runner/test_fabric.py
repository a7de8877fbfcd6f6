"""What each host is played by and joined to, in the wirings that need no lab to be planned."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from hostemu.base.errors import HostemuError, InputError
from hostemu.guests import backend
from hostemu.guests.api import Cable, HostInterface
from hostemu.retrieval.native import farm_program
from hostemu.runner.fabric import Fabric, Means, check_wiring, plan_fabric
from hostemu.runner.layout import plan_layout
from hostemu.runner.programs import FARM_PATH
from hostemu.scenario import Scenario, load_scenario


def compiles() -> bool:
    """Whether this machine can compile what runs in guests."""
    try:
        farm_program()
    except HostemuError:
        return False
    return True


def scenario(*settings: str) -> Scenario:
    return load_scenario("smoke", settings)


def planned(name: str, *settings: str) -> Fabric:
    what = scenario(*settings)
    return plan_fabric(plan_layout(what), what, Means(backend(name), Path("/run"), None), ExitStack())


def test_in_namespaces_every_host_has_a_cable() -> None:
    plans = planned("netns").plans
    assert set(plans) == {"center", "isp", *(f"guest-{number}" for number in range(4))}
    assert all(isinstance(nic.wire, Cable) for plan in plans.values() for nic in plan.spec.nics)
    assert all(not plan.spec.files for plan in plans.values())


@pytest.mark.skipif(not compiles(), reason="no C compiler for what runs in guests")
def test_guests_with_kernels_have_the_farm_and_the_center_sees_the_runs_folder() -> None:
    plans = planned("uml", "hosts.memory=20 MiB", "hosts.center_memory=300 MiB").plans
    farm, center, isp = plans["guest-0"], plans["center"], plans["isp"]
    assert (farm.backend.name, center.backend.name, isp.backend.name) == ("uml", "uml", "netns")
    assert farm.spec.files == {FARM_PATH: farm_program()}
    assert (farm.spec.is_copy, farm.spec.shell, farm.spec.memory_bytes) == (True, False, 20 << 20)
    assert (center.spec.shares, center.spec.memory_bytes) == (Path("/run"), 300 << 20)


@pytest.mark.skipif(not compiles(), reason="no C compiler for what runs in guests")
def test_the_center_may_be_a_namespace_of_the_host() -> None:
    center = planned("uml", "hosts.center=host").plans["center"]
    assert (center.backend.name, center.spec.shares, center.spec.kernel) == ("netns", None, None)


def test_with_taps_the_isp_host_is_everybodys_gateway() -> None:
    what = scenario("hosts.wiring=tap", "lines={}")
    layout = plan_layout(what)
    plans = plan_fabric(layout, what, Means(backend("netns"), Path("/run"), None), ExitStack()).plans
    assert plans["isp"].spec.nics == ()
    own: list[str] = []
    for name, plan in plans.items():
        if name == "isp":
            continue
        (nic,) = plan.spec.nics
        assert isinstance(nic.wire, HostInterface)
        far = nic.wire.far
        assert nic.routes == (("0.0.0.0/0", far.addresses[0].removesuffix("/30")),)
        assert far.neighbours == ((nic.addresses[0].removesuffix("/30"), nic.mac),)
        assert [prefix for prefix, _ in far.routes] == list(nic.local_prefixes)
        own += far.local_prefixes
    assert own == [f"{layout.isp.address}/32"]


def test_the_emulator_has_nothing_to_do_with_taps() -> None:
    network = planned("netns", "hosts.wiring=tap", "lines={}").network({})
    assert (network.ports, network.routers, network.links) == ([], [], [])


@pytest.mark.parametrize("segment", ["auto", "multicast", "switch"])
def test_namespaces_share_no_segment(segment: str) -> None:
    line = 'lines={center={delay="1 ms"},terminals={delay="1 ms"}}'
    what = scenario("hosts.wiring=segment", f"hosts.segment={segment}", line)
    with pytest.raises(InputError, match="netns guests cannot be wired"):
        check_wiring(what, backend("netns"))
    for name in ("uml", "qemu", "kvm"):
        check_wiring(what, backend(name))
