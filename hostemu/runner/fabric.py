"""The experiment's network: a guest per host, a line from each to the router in GINE."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.gine import Network
from hostemu.guests import Backend
from hostemu.guests.api import Guest, GuestSpec, NicSpec
from hostemu.runner.layout import FarmPlan, HostPlan, Layout
from hostemu.scenario import Scenario

NIC = "eth0"
READY_S = 60.0
SYSCTLS: Mapping[str, str] = {
    "net.core.somaxconn": "65535",
    "net.ipv4.ip_local_port_range": "1024 65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
    "net.ipv4.icmp_ratemask": "0",  # a port that is closed says so every time
}


def _nic(host: HostPlan, local_prefixes: tuple[str, ...]) -> NicSpec:
    gateway = str(host.router_address)
    return NicSpec(
        name=NIC,
        mac=host.mac,
        addresses=(f"{host.address}/30",),
        routes=(("0.0.0.0/0", gateway),),
        local_prefixes=local_prefixes,
        neighbours=((gateway, host.router_mac),),
    )


def _spec(host: HostPlan, scenario: Scenario, farm: FarmPlan | None) -> GuestSpec:
    prefixes = () if farm is None else (str(farm.block),)
    return GuestSpec(
        name=host.name, nics=(_nic(host, prefixes),), memory_bytes=scenario.hosts.memory_bytes, sysctls=SYSCTLS
    )


def start_guests(
    layout: Layout, scenario: Scenario, backend: Backend, workdir: Path, stack: ExitStack
) -> dict[str, Guest]:
    """Every host as a running guest, by name; `stack` stops them."""
    farms = {farm.host.name: farm for farm in layout.farms}
    guests = {}
    for host in layout.hosts():
        guest = backend.create(_spec(host, scenario, farms.get(host.name)), workdir / host.name)
        guests[host.name] = stack.enter_context(guest)
        guest.start(Deadline.after(READY_S, f"guest {host.name} to start"))
    for name, guest in guests.items():
        guest.wait_ready(Deadline.after(READY_S, f"an answer from guest {name}"))
    return guests


def build_network(layout: Layout, scenario: Scenario, guests: Mapping[str, Guest]) -> Network:
    """The router with a line to each guest; forward is towards the router."""
    network = Network(scenario.seed)
    router = network.router("router")
    lines = scenario.lines
    kinds = {layout.center.name: lines.center, layout.isp.name: lines.isp}
    for host in layout.hosts():
        kind = kinds.get(host.name, lines.terminals)
        port = network.port(host.name, guests[host.name].nic_fd(NIC))
        link = network.connect(port, router, name=host.line, forward=kind.up.spec(), backward=kind.down.spec())
        router.interface(link, mac=host.router_mac, addresses=(f"{host.router_address}/30",))
        router.neighbour(str(host.address), host.mac)
    for farm in layout.farms:
        router.route(str(farm.block), via=str(farm.host.address))
    return network
