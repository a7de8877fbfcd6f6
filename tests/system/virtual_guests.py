"""What tests have guests of a calendar do; called inside a lab."""

from __future__ import annotations

import json
import time
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
from hostemu.measure.costs import Charge
from hostemu.sim.virtual import Calendar
from hostemu.sim.virtual.calendar import port_descriptors

S = 1_000_000_000
Emit = Callable[[dict[str, Any]], None]


def address_of(number: int, last: int = 2) -> str:
    """The address of a host, or (last 1) of its router."""
    return f"10.{number >> 8}.{number & 255}.{last}"


def star(count: int, line: LineSpec) -> tuple[Network, list[NicSpec]]:
    """So many hosts around a router, and their interfaces."""
    network = Network(seed=1)
    router = network.router("router")
    nics = []
    for number, fd in enumerate(port_descriptors(count)):
        link = network.connect(network.port(f"g{number}", fd), router, forward=line, backward=line)
        own, gateway = address_of(number), address_of(number, 1)
        mac, router_mac = (f"02:00:00:{kind:02x}:{number >> 8:02x}:{number & 255:02x}" for kind in (1, 2))
        router.interface(link, mac=router_mac, addresses=(f"{gateway}/30",))
        router.neighbour(own, mac)
        routes, neighbours = (("0.0.0.0/0", gateway),), ((gateway, router_mac),)
        nics.append(NicSpec("eth0", mac, addresses=(f"{own}/30",), routes=routes, neighbours=neighbours))
    return network, nics


@contextmanager
def running(count: int, line: LineSpec, **options: Any) -> Iterator[tuple[Calendar, list[VirtualUmlGuest]]]:
    """So many guests around a router, and their calendar.  options: of GuestSpec."""
    with ExitStack() as stack:
        folder = LAB_FOLDER / "test"
        folder.mkdir()
        site = stack.enter_context(NetNamespace())
        network, nics = star(count, line)
        calendar = stack.enter_context(Calendar(network, [nic.mac for nic in nics], folder))
        guests = []
        for number, nic in enumerate(nics):
            spec = GuestSpec(f"g{number}", (nic,), **options)
            guests.append(VirtualUmlGuest(spec, folder / spec.name, calendar, number, spec.name, site))
            stack.callback(guests[-1].kill)
            guests[-1].start(Deadline.after(60, "a guest to start"))
        calendar.await_start(Deadline.after(60, "guests to start"), count)
        for guest in guests:
            guest.wait_ready(Deadline.after(60, "a guest's answer"))
        yield calendar, guests


def ping(argument: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """What ping says of `count` round trips over two lines of `delay_ns` and back.

    charge: what computation takes a guest's CPU.
    """
    with running(2, LineSpec(delay_ns=argument["delay_ns"])) as (calendar, guests):
        calendar.charge(Charge(**argument.get("charge", {})))
        command = ["ping", "-c", str(argument["count"]), address_of(1)]
        done = guests[0].run(command, deadline=Deadline.after(60, "ping"))
        charged_ns = [calendar.charged_ns(number) for number in range(2)]
        return {"said": done.stdout.decode(), "counters": calendar.counters(), "charged_ns": charged_ns}


def charged(argument: dict[str, Any], emit: Emit) -> list[dict[str, Any]]:
    """What each of `commands` says, how long it takes in virtual time, and what is charged of it."""
    with running(2, LineSpec(delay_ns=1_000_000)) as (calendar, guests):
        calendar.charge(Charge(**argument["charge"]))
        found = []
        for command in argument["commands"]:
            began_ns, before_ns = calendar.now_ns, calendar.charged_ns(0)
            done = guests[0].run(command, deadline=Deadline.after(60, "a command"))
            took_ns, charged_ns = calendar.now_ns - began_ns, calendar.charged_ns(0) - before_ns
            found.append({"said": done.stdout.decode(), "took_ns": took_ns, "charged_ns": charged_ns})
        return found


def pings(argument: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """How long `seconds` take in which each of `count` guests asks its neighbour for an echo every second."""
    count, seconds = argument["count"], argument["seconds"]
    with running(count, LineSpec(delay_ns=10_000_000)) as (calendar, guests):
        for number, guest in enumerate(guests):
            guest.spawn(["ping", "-q", address_of((number + 1) % count)])
        calendar.play(calendar.now_ns + S)
        before, began_s = calendar.counters(), time.monotonic()
        calendar.play(calendar.now_ns + seconds * S)
        took_s = time.monotonic() - began_s
        after = calendar.counters()
        return {"took_s": took_s, **{name: after[name] - before[name] for name in after}}


def datagrams(argument: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """How long `seconds` take of a UDP stream of `rate_bps`, in the longest datagrams, over lines of 1 Gbit/s."""
    line = LineSpec(rate_bps=10**9, delay_ns=1_000_000, queue_bytes=6_000_000)
    with running(2, line, programs=("iperf3",), memory_bytes=64 << 20) as (calendar, guests):
        guests[1].spawn(["iperf3", "-s", "-1"])
        calendar.play(calendar.now_ns + S)
        command = ["iperf3", "-c", address_of(1), "-u", "-b", str(argument["rate_bps"]), "-l", "65507", "-t", "60"]
        guests[0].spawn(command)
        calendar.play(calendar.now_ns + S // 2)
        before, began_s = calendar.counters(), time.monotonic()
        calendar.play(calendar.now_ns + round(argument["seconds"] * S))
        took_s = time.monotonic() - began_s
        after = calendar.counters()
        return {"took_s": took_s, **{name: after[name] - before[name] for name in after}}


def iperf(argument: dict[str, Any], emit: Emit) -> dict[str, Any]:
    """One TCP stream for `seconds` over lines of 1 ms and `rate_bps`: bit/s, and what the calendar has counted."""
    rate_bps, seconds = argument["rate_bps"], argument["seconds"]
    line = LineSpec(rate_bps=rate_bps, delay_ns=1_000_000, queue_bytes=rate_bps // 8 // 20)
    options = {"programs": ("iperf3",), "memory_bytes": 64 << 20}
    with running(2, line, **options) as (calendar, guests):
        guests[1].spawn(["iperf3", "-s", "-1"])
        calendar.play(calendar.now_ns + S)
        before, began_s = calendar.counters(), time.monotonic()
        command = ["iperf3", "-c", address_of(1), "-t", str(seconds), "-O", "2", "-J"]
        done = guests[0].run(command, deadline=Deadline.after(240, "iperf3"))
        took_s = time.monotonic() - began_s
        after = calendar.counters()
        received = json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]
        return {"bps": received, "took_s": took_s, **{name: after[name] - before[name] for name in after}}
