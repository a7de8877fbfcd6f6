"""The experiment's network: a guest per host, a line from each to the router in GINE."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.gine import Network
from hostemu.guests import Backend
from hostemu.guests import backend as find_backend
from hostemu.guests.api import Guest, GuestSpec, NicSpec
from hostemu.retrieval.native import farm_program
from hostemu.runner.layout import HostPlan, Layout
from hostemu.runner.programs import FARM_PATH
from hostemu.scenario import Scenario

NIC = "eth0"
READY_S = 60.0
STARTS_PER_CORE = 2
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


@dataclass(frozen=True)
class GuestPlan:
    """A host's guest that is to be made: of which backend, and what it is."""

    backend: Backend
    spec: GuestSpec


def guest_plans(
    layout: Layout, scenario: Scenario, backend: Backend, folder: Path, kernel: Path | None
) -> dict[str, GuestPlan]:
    """What each host is played by.  In the thesis, the ISP server is another machine: here a namespace, always.

    folder: the run's, which the center writes in.  kernel: that guests boot; None: the best there is.
    """
    namespaces = find_backend("netns")
    hosts = scenario.hosts
    plans = {
        layout.isp.name: GuestPlan(namespaces, _spec(layout.isp)),
        layout.center.name: GuestPlan(
            backend if hosts.center == "guest" else namespaces,
            replace(
                _spec(layout.center), memory_bytes=hosts.center_memory_bytes, kernel=kernel, shares=folder.resolve()
            ),
        ),
    }
    files = {FARM_PATH: farm_program()} if backend.has_own_kernel else {}
    for farm in layout.farms:
        spec = _spec(farm.host, (str(farm.block),))
        spec = replace(spec, memory_bytes=hosts.memory_bytes, kernel=kernel, files=files, is_copy=True)
        plans[farm.host.name] = GuestPlan(backend, spec)
    return plans


def _spec(host: HostPlan, local_prefixes: tuple[str, ...] = ()) -> GuestSpec:
    return GuestSpec(name=host.name, nics=(_nic(host, local_prefixes),), sysctls=SYSCTLS)


def start_guests(
    plans: Mapping[str, GuestPlan], workdir: Path, stack: ExitStack, on_started: Callable[[int], None]
) -> dict[str, Guest]:
    """Every planned host as a running guest, by name; `stack` stops them.  on_started: told how many there are."""
    guests = {
        name: stack.enter_context(plan.backend.create(plan.spec, workdir / name)) for name, plan in plans.items()
    }
    quick = [guest for name, guest in guests.items() if not plans[name].backend.has_own_kernel]
    slow = [guest for name, guest in guests.items() if plans[name].backend.has_own_kernel]
    for number, guest in enumerate(quick, 1):
        _start(guest)
        on_started(number)
    # A guest that boots keeps a core busy, and waits in between: a few more at a time than there are cores.
    with ThreadPoolExecutor(STARTS_PER_CORE * len(os.sched_getaffinity(0)), "starter") as starters:
        started = [starters.submit(_start, guest) for guest in slow]
        try:
            for number, future in enumerate(as_completed(started), 1):
                future.result()
                on_started(len(quick) + number)
        except BaseException:
            starters.shutdown(wait=True, cancel_futures=True)
            raise
    return guests


def _start(guest: Guest) -> None:
    guest.start(Deadline.after(READY_S, f"guest {guest.spec.name} to start"))
    guest.wait_ready(Deadline.after(READY_S, f"an answer from guest {guest.spec.name}"))


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
