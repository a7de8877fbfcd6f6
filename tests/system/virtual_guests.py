"""What tests have guests of a calendar do; called inside a lab."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.gine import Network
from hostemu.guests.api import GuestSpec, NicSpec
from hostemu.guests.booting import LAB_FOLDER
from hostemu.guests.uml_virtual import VirtualUmlGuest
from hostemu.lab import NetNamespace
from hostemu.lines.spec import LineSpec
from hostemu.sim.virtual import Calendar
from hostemu.sim.virtual.calendar import port_descriptors

Emit = Callable[[dict[str, Any]], None]


def star(count: int, line: LineSpec) -> tuple[Network, list[NicSpec]]:
    """So many hosts around a router, and their interfaces."""
    network = Network(seed=1)
    router = network.router("router")
    nics = []
    for number, fd in enumerate(port_descriptors(count)):
        link = network.connect(network.port(f"g{number}", fd), router, forward=line, backward=line)
        own, gateway = f"10.0.{number}.2", f"10.0.{number}.1"
        mac, router_mac = f"02:00:00:00:01:{number:02x}", f"02:00:00:00:02:{number:02x}"
        router.interface(link, mac=router_mac, addresses=(f"{gateway}/30",))
        router.neighbour(own, mac)
        routes, neighbours = (("0.0.0.0/0", gateway),), ((gateway, router_mac),)
        nics.append(NicSpec("eth0", mac, addresses=(f"{own}/30",), routes=routes, neighbours=neighbours))
    return network, nics


@contextmanager
def running(count: int, line: LineSpec) -> Iterator[tuple[Calendar, list[VirtualUmlGuest]]]:
    """So many guests around a router, and their calendar."""
    with ExitStack() as stack:
        folder = LAB_FOLDER / "test"
        folder.mkdir()
        site = stack.enter_context(NetNamespace())
        network, nics = star(count, line)
        calendar = stack.enter_context(Calendar(network, [nic.mac for nic in nics], folder))
        guests = []
        for number, nic in enumerate(nics):
            spec = GuestSpec(f"g{number}", (nic,))
            guests.append(VirtualUmlGuest(spec, folder / spec.name, calendar, number, spec.name, site))
            stack.callback(guests[-1].kill)
            guests[-1].start(Deadline.after(60, "a guest to start"))
        calendar.await_start(Deadline.after(60, "guests to start"), count)
        for guest in guests:
            guest.wait_ready(Deadline.after(60, "a guest's answer"))
        yield calendar, guests


def ping(argument: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """What ping says of `count` round trips over two lines of `delay_ns` and back."""
    with running(2, LineSpec(delay_ns=argument["delay_ns"])) as (calendar, guests):
        command = ["ping", "-c", str(argument["count"]), "10.0.1.2"]
        done = guests[0].run(command, deadline=Deadline.after(60, "ping"))
        return {"said": done.stdout.decode(), "counters": calendar.counters()}
