"""What each host of an experiment is played by, and how they are joined: the wirings that a scenario can ask for.

gine      every guest's NIC is a port of the emulator, which is the router, with a line from each host
tap       every guest has a TAP of the ISP host's (thesis, figure 1); no emulator, hence no lines
segment   center, terminals and a router, all guests, share one network, a multicast socket or a switch daemon
          (thesis, figure 2); the emulator is the line between the router and the ISP host
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

from hostemu.base.errors import InputError
from hostemu.gine import Network, Simulated
from hostemu.guests import Backend
from hostemu.guests import backend as find_backend
from hostemu.guests.api import Cable, Guest, GuestSpec, HostInterface, Multicast, NicSpec, SwitchPort, Wire
from hostemu.guests.netns import NetnsGuest
from hostemu.guests.switch_daemon import SwitchDaemon
from hostemu.lab import NetNamespace
from hostemu.lines.spec import LineSpec
from hostemu.retrieval.native import farm_program
from hostemu.runner.layout import SEGMENT_MAC, FarmPlan, HostPlan, Layout
from hostemu.runner.programs import FARM_PATH
from hostemu.runner.simulated import SimulatedGuests
from hostemu.runner.starting import GuestPlan
from hostemu.scenario import LineSettings, Scenario
from hostemu.sim.virtual.calendar import port_descriptors

NIC, OUTER_NIC = "eth0", "eth1"
ROUTER = "router"
OUTER = "router-outer"
SPARE_PORTS = 8
SEGMENT_LINE = LineSpec(delay_ns=1000)
"""Of each host to the network that guests share in virtual time: two of them must have some time between them."""

SYSCTLS: Mapping[str, str] = {
    "net.core.somaxconn": "65535",
    "net.ipv4.ip_local_port_range": "1024 65535",
    "net.ipv4.tcp_max_syn_backlog": "65535",
    "net.ipv4.icmp_ratemask": "0",  # a port that is closed says so every time
}
FORWARDING: Mapping[str, str] = {**SYSCTLS, "net.ipv4.ip_forward": "1"}

Plans = dict[str, GuestPlan]
Guests = Mapping[str, Guest]


@dataclass(frozen=True)
class Means:
    """What guests are made of.  folder: the run's, which the center writes in.  kernel: None: the best there is."""

    backend: Backend
    folder: Path
    kernel: Path | None


@dataclass(frozen=True)
class Fabric:
    """The guests that are to be started, what the emulator does once they run, and the guests that live in it."""

    plans: Plans
    network: Callable[[Guests], Network]
    simulated: SimulatedGuests = field(default_factory=SimulatedGuests)


def plan_fabric(layout: Layout, scenario: Scenario, means: Means, stack: ExitStack) -> Fabric:
    """The wiring that the scenario asks for; `stack` owns what its guests share."""
    return _WIRINGS[scenario.hosts.wiring](layout, scenario, means, stack)


def check_wiring(scenario: Scenario, backend: Backend) -> None:
    """InputError when guests of this backend cannot be wired as the scenario asks."""
    if scenario.hosts.wiring == "segment" and scenario.real_guests != scenario.guests:
        raise InputError(
            "simulated guests are not on a network that real guests share in real time",
            expected="hosts.wiring = 'gine', or --time virtual",
            found="hosts.wiring = 'segment'",
        )
    needed = {"gine": Cable, "tap": HostInterface, "segment": _segment_wire(scenario, backend)}[scenario.hosts.wiring]
    if needed not in backend.wires:
        raise InputError(
            f"{backend.name} guests cannot be wired as hosts.wiring = {scenario.hosts.wiring!r} asks",
            expected="another wiring, or another backend",
            found=f"no {needed.__name__} for {backend.name}",
        )


def _segment_wire(scenario: Scenario, backend: Backend) -> type[Wire]:
    """The thesis joins QEMU guests by multicast sockets, UML guests by a switch daemon."""
    choice = scenario.hosts.segment
    if choice == "auto":
        choice = "switch" if backend.name == "uml" else "multicast"
    return SwitchPort if choice == "switch" else Multicast


def _gine(layout: Layout, scenario: Scenario, means: Means, stack: ExitStack) -> Fabric:
    plans = {layout.isp.name: _isp(layout, (nic_of(layout.isp),))}
    for host, farm in _inner(layout):
        plans[host.name] = _plan(scenario, means, host, farm, nic_of(host, farm))
    simulated = stack.enter_context(SimulatedGuests(layout, scenario))
    return Fabric(
        plans, lambda guests: star(layout, scenario, lambda name: guests[name].nic_fd(NIC), simulated), simulated
    )


def star(layout: Layout, scenario: Scenario, fd_of: Callable[[str], int], simulated: SimulatedGuests) -> Network:
    """A router with a line to each host; forward is towards the router.  fd_of: of a real host's NIC, by its name."""
    lines = scenario.lines
    kinds = {layout.center.name: lines.center, layout.isp.name: lines.isp}
    hosts = ((host, kinds.get(host.name, lines.terminals)) for host in layout.hosts())
    network = star_of(scenario.seed, hosts, fd_of, simulated.hosts)
    for farm in layout.farms:
        network.routers[0].route(str(farm.block), via=str(farm.host.address))
    return network


def star_of(
    seed: int,
    hosts: Iterable[tuple[HostPlan, LineSettings]],
    fd_of: Callable[[str], int],
    simulated: Mapping[str, Simulated] = MappingProxyType({}),
) -> Network:
    """A router with a line to each of these hosts; forward is towards the router."""
    network = Network(seed)
    router = network.router(ROUTER)
    for host, line in hosts:
        own = simulated.get(host.name)
        port = network.port(host.name, fd_of(host.name)) if own is None else network.simulated(host.name, own)
        link = network.connect(port, router, name=host.line, forward=line.up.spec(), backward=line.down.spec())
        router.interface(link, mac=host.router_mac, addresses=(f"{host.router_address}/30",))
        router.neighbour(str(host.address), host.mac)
    return network


def kernel_guests(layout: Layout, scenario: Scenario, means: Means) -> dict[str, GuestSpec]:
    """Every host as a guest with a kernel of its own, as virtual_network has them.

    The ISP server's has as much memory as the center.  Where guests share a network, the router is one of them, too.
    """
    is_shared = scenario.hosts.wiring == "segment"
    nics = {host.name: _segment_nic(host, farm) if is_shared else nic_of(host, farm) for host, farm in _inner(layout)}
    specs = {host.name: _plan(scenario, means, host, farm, nics[host.name]).spec for host, farm in _inner(layout)}
    center = specs.pop(layout.center.name)
    isp = replace(center, name=layout.isp.name, nics=(nic_of(layout.isp),), sysctls=FORWARDING)
    router = {ROUTER: router_spec(layout, scenario, means, Multicast())} if is_shared else {}
    return {center.name: center, isp.name: isp, **router, **specs}


def virtual_network(layout: Layout, scenario: Scenario, simulated: SimulatedGuests) -> Network:
    """How kernel_guests are joined in virtual time, where ports have no descriptors but their order."""
    numbers = iter(port_descriptors(len(layout.farms) + 4))
    if scenario.hosts.wiring != "segment":
        return star(layout, scenario, lambda _name: next(numbers), simulated)
    network, line = Network(scenario.seed), scenario.lines.terminals
    names = [layout.center.name, layout.isp.name, ROUTER, OUTER, *(farm.host.name for farm in layout.real_farms)]
    ports = {name: network.port(name, next(numbers)) for name in names}
    ports |= {name: network.simulated(name, host) for name, host in simulated.hosts.items()}
    shared = network.switch("segment")
    for name, port in ports.items():
        if name not in (layout.isp.name, OUTER):
            network.connect(port, shared, name=name, forward=SEGMENT_LINE, backward=SEGMENT_LINE)
    isp = ports[layout.isp.name]
    network.connect(ports[OUTER], isp, name="terminals", forward=line.up.spec(), backward=line.down.spec())
    return network


def _tap(layout: Layout, scenario: Scenario, means: Means, stack: ExitStack) -> Fabric:
    """The ISP host's own address is one more of those of its first TAP."""
    plans = {layout.isp.name: _isp(layout, ())}
    for number, (host, farm) in enumerate(_inner(layout)):
        far = NicSpec(
            f"tap{number}",
            host.router_mac,
            addresses=(f"{host.router_address}/30",),
            routes=() if farm is None else ((str(farm.block), str(host.address)),),
            neighbours=((str(host.address), host.mac),),
            local_prefixes=(f"{layout.isp.address}/32",) if number == 0 else (),
        )
        nic = replace(nic_of(host, farm), wire=HostInterface(far))
        plan = _plan(scenario, means, host, farm, nic)
        plans[host.name] = replace(plan, site=lambda guests: _namespace_of(guests[layout.isp.name]))
    return Fabric(plans, lambda _guests: Network(scenario.seed))


def _namespace_of(guest: Guest) -> NetNamespace:
    if not isinstance(guest, NetnsGuest):
        raise TypeError(f"guest {guest.spec.name} is no namespace")
    return guest.namespace


def _segment(layout: Layout, scenario: Scenario, means: Means, stack: ExitStack) -> Fabric:
    site = stack.enter_context(NetNamespace())
    wire: Wire = Multicast()
    if _segment_wire(scenario, means.backend) is SwitchPort:
        wire = SwitchPort(stack.enter_context(SwitchDaemon(site, len(layout.farms) + SPARE_PORTS)).control)
    else:
        site.allow_multicast()
    plans = {
        layout.isp.name: _isp(layout, (nic_of(layout.isp),)),
        ROUTER: GuestPlan(means.backend, router_spec(layout, scenario, means, wire), lambda _guests: site),
    }
    for host, farm in _inner(layout):
        nic = replace(_segment_nic(host, farm), wire=wire)
        plans[host.name] = replace(_plan(scenario, means, host, farm, nic), site=lambda _guests: site)
    return Fabric(plans, lambda guests: _one_line(layout, scenario, guests))


def _segment_nic(host: HostPlan, farm: FarmPlan | None) -> NicSpec:
    return replace(nic_of(host, farm), neighbours=((str(host.router_address), SEGMENT_MAC),))


def router_spec(layout: Layout, scenario: Scenario, means: Means, wire: Wire) -> GuestSpec:
    """A guest that forwards between the segment and the ISP host: the gateway of every host."""
    isp, inner = layout.isp, [layout.center, *(farm.host for farm in layout.farms)]
    shared = NicSpec(
        NIC,
        SEGMENT_MAC,
        addresses=tuple(f"{host.router_address}/30" for host in inner),
        routes=tuple((str(farm.block), str(farm.host.address)) for farm in layout.farms),
        neighbours=tuple((str(host.address), host.mac) for host in inner),
        wire=wire,
    )
    outer = NicSpec(
        OUTER_NIC,
        isp.router_mac,
        addresses=(f"{isp.router_address}/30",),
        neighbours=((str(isp.address), isp.mac),),
    )
    return GuestSpec(
        ROUTER, (shared, outer), scenario.hosts.memory_bytes, sysctls=FORWARDING, kernel=means.kernel, shell=False
    )


def _one_line(layout: Layout, scenario: Scenario, guests: Guests) -> Network:
    """The line between the router and the ISP host; forward is what leads from the terminals."""
    network, line = Network(scenario.seed), scenario.lines.terminals
    router = network.port(ROUTER, guests[ROUTER].nic_fd(OUTER_NIC))
    isp = network.port(layout.isp.name, guests[layout.isp.name].nic_fd(NIC))
    network.connect(router, isp, name="terminals", forward=line.up.spec(), backward=line.down.spec())
    return network


def _inner(layout: Layout) -> Iterator[tuple[HostPlan, FarmPlan | None]]:
    """Every host but the ISP server's, and its terminals if it has any."""
    yield layout.center, None
    for farm in layout.real_farms:
        yield farm.host, farm


def nic_of(host: HostPlan, farm: FarmPlan | None = None) -> NicSpec:
    """The NIC of a host on its line."""
    gateway = str(host.router_address)
    return NicSpec(
        name=NIC,
        mac=host.mac,
        addresses=(f"{host.address}/30",),
        routes=(("0.0.0.0/0", gateway),),
        local_prefixes=() if farm is None else (str(farm.block),),
        neighbours=((gateway, host.router_mac),),
    )


def _isp(layout: Layout, nics: tuple[NicSpec, ...]) -> GuestPlan:
    """The ISP server is another machine in the thesis: here a namespace, whatever the guests are."""
    return GuestPlan(find_backend("netns"), GuestSpec(layout.isp.name, nics, sysctls=FORWARDING))


def _plan(scenario: Scenario, means: Means, host: HostPlan, farm: FarmPlan | None, nic: NicSpec) -> GuestPlan:
    """The guest of the center, or of a farm."""
    hosts, backend = scenario.hosts, means.backend
    spec = GuestSpec(host.name, (nic,), sysctls=SYSCTLS, kernel=means.kernel)
    if farm is None:
        if hosts.center == "host":
            return GuestPlan(find_backend("netns"), replace(spec, kernel=None))
        return GuestPlan(
            backend, replace(spec, memory_bytes=hosts.center_memory_bytes, shares=means.folder.resolve())
        )
    files = {FARM_PATH: farm_program()} if backend.has_own_kernel else {}
    return GuestPlan(backend, replace(spec, memory_bytes=hosts.memory_bytes, files=files, shell=False, is_copy=True))


_WIRINGS: Mapping[str, Callable[[Layout, Scenario, Means, ExitStack], Fabric]] = {
    "gine": _gine,
    "tap": _tap,
    "segment": _segment,
}
