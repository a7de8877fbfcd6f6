"""Throughput of guests that work at the same time: clients of iperf in each of them, one server on the host.

All guests' clients are ready before any begins.  A guest's throughput is what the server has received from it, over
the guest's own time; the total is the sum of the guests'.  What they begin later than others (`seconds` beyond the
clients' own time tells it) they have less company, by which the total may be too high.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed
from hostemu.gine import Engine, Network, realtime_priority
from hostemu.guests.api import Guest, HostInterface, NicSpec
from hostemu.lab import NetNamespace
from hostemu.measure.bench import NIC, Bench, Once, Sample
from hostemu.measure.host import Window, read_sample
from hostemu.measure.host_end import HostEnd
from hostemu.measure.link import Link
from hostemu.measure.throughput_iperf import Load, Stream, check_count, serving, total_bps
from hostemu.measure.traffic import Sharing
from hostemu.measure.wiring import DIRECT, open_end

HOST_LINK = Link(0)
WAIT_AND_RUN = ("sh", "-c", 'read go && exec "$@"', "sh")
"""Before a command: it begins once a line is written to its input."""


@dataclass(frozen=True)
class Member:
    """A guest, its own address, and where it finds the server."""

    guest: Guest
    address: str
    server: str


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """The same guests for all repeats, a server for each."""
    settings = bench.settings_of(Sharing)
    links = [Link(number) for number in range(1, bench.chosen(*settings.varied) + 1)]
    load = Load(settings.clients, settings.duration_ns // 10**9)
    joined = _direct if bench.parameters["wiring"] == DIRECT else _gine
    with joined(bench, settings, links) as (members, host):
        yield lambda: _measure(members, host, load, bench.patience("iperf"))


@contextmanager
def _direct(bench: Bench, settings: Sharing, links: Sequence[Link]) -> Iterator[tuple[list[Member], HostEnd]]:
    """Each guest has an interface of the host's of its own."""
    with ExitStack() as stack:
        site = stack.enter_context(NetNamespace())
        nics = [replace(link.nic(), wire=HostInterface(link.gateway_nic(f"tap{link.number}"))) for link in links]
        guests = _started(bench, settings, nics, stack, site)
        members = [Member(guest, link.address, link.gateway) for guest, link in zip(guests, links, strict=True)]
        yield members, HostEnd(site, links[0].gateway, bench.folder)


@contextmanager
def _gine(bench: Bench, settings: Sharing, links: Sequence[Link]) -> Iterator[tuple[list[Member], HostEnd]]:
    """The emulator's router joins all of them with the host."""
    with ExitStack() as stack:
        guests = _started(bench, settings, [link.nic() for link in links], stack)
        namespace = stack.enter_context(NetNamespace())
        network = Network(bench.seed)
        router = network.router("router")
        HOST_LINK.connect(network, router, network.port("host", open_end(namespace, HOST_LINK.nic())))
        for guest, link in zip(guests, links, strict=True):
            link.connect(network, router, network.port(guest.spec.name, guest.nic_fd(NIC)))
        engine = stack.enter_context(Engine(network, realtime_priority=realtime_priority()))
        members = [Member(guest, link.address, HOST_LINK.address) for guest, link in zip(guests, links, strict=True)]
        yield members, HostEnd(namespace, HOST_LINK.address, bench.folder)
        engine.check()


def _started(
    bench: Bench, settings: Sharing, nics: Sequence[NicSpec], stack: ExitStack, site: NetNamespace | None = None
) -> list[Guest]:
    """A running guest for each NIC; they start at the same time."""
    deadline = Deadline.after(settings.start_ns / 1e9 * len(nics), "all guests to answer")
    guests = []
    for number, nic in enumerate(nics):
        spec = bench.spec(f"guest-{number}", settings.memory_bytes, (nic,), ("iperf",))
        guests.append(stack.enter_context(bench.backend.create(spec, bench.folder / spec.name, site)))
        guests[-1].start(deadline)
    for guest in guests:
        guest.wait_ready(deadline)
    return guests


def _measure(members: Sequence[Member], host: HostEnd, load: Load, deadline: Deadline) -> Sample:
    usable = frozenset(os.sched_getaffinity(0))
    with serving(host) as received, ExitStack() as stack:
        waiting = [
            stack.enter_context(member.guest.spawn([*WAIT_AND_RUN, *load.iperf(member.server)])) for member in members
        ]
        began_s, before = time.monotonic(), read_sample(Path("/proc"), usable)
        for client in waiting:
            client.stdin.write(b"\n")
            client.stdin.flush()
        for client in waiting:
            client.wait(deadline)
        seconds, after = time.monotonic() - began_s, read_sample(Path("/proc"), usable)
    check_count(len(received), load.clients * len(members), b"")
    rates = shares_bps(received, [member.address for member in members])
    values = {
        "sharing_bps": sum(rates),
        "sharing_least_bps": min(rates),
        "sharing_busy_cores": Window.between(before, after).busy * len(usable),
    }
    return Sample(values, {"guest_bps": rates, "seconds": seconds})


def shares_bps(streams: Sequence[Stream], addresses: Sequence[str]) -> list[float]:
    """What each of these hosts has sent, over the time of its longest connection; CommandFailed for nothing."""
    rates = [total_bps([stream for stream in streams if stream.client == address]) for address in addresses]
    if not all(rates):
        silent = [address for address, rate in zip(addresses, rates, strict=True) if not rate]
        raise CommandFailed("guests have sent nothing", expected="traffic of all of them", found=", ".join(silent))
    return rates
