"""How many frames per second a router forwards while it is offered more, and how many can wait in front of it.

Datagrams go from the host into the router and come back to the host by another interface, whose kernel counts them.
Both interfaces are in one namespace, since those of a guest are; what is sent is for an address of nobody's behind
the router, so that it must pass it.  The queue is what is still on its way when the last frame of a burst has been
sent.  Where nothing of a burst is lost, nothing is known of the queue; where next to nothing is lost of a stream, the
capacity is at least what was forwarded.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

from hostemu.base.deadline import Deadline
from hostemu.base.errors import RunError
from hostemu.gine import Engine, Network, realtime_priority
from hostemu.guests.api import HostInterface, NicSpec, traffic
from hostemu.lab import NetNamespace
from hostemu.measure.bench import Bench, Once, Sample
from hostemu.measure.link import Link
from hostemu.measure.traffic import Routing
from hostemu.measure.wiring import DIRECT, open_end

IN, OUT = "eth0", "eth1"
INWARDS, OUTWARDS = Link(1), Link(2)
BEYOND, TARGET = "10.65.0.0/24", ("10.65.0.1", 9)
FORWARDING = {"net.ipv4.ip_forward": "1"}

BATCH = 64
"""Datagrams between two looks at the clock."""

IDLE_S = 0.2
"""A router that forwards nothing for so long has nothing left."""

READY_S = 10.0
OVERLOADED = 0.9
"""Of what is offered: a router that forwards more than this share may have been able to forward all of it."""


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """One router for all repeats."""
    settings = bench.settings_of(Routing)
    payload = bytes(bench.chosen(*settings.varied))
    routed = _by_guest if bench.parameters["wiring"] == DIRECT else _by_gine
    with routed(bench, settings) as namespace, _flow(namespace, payload) as flow:
        flow.wait_for_way(Deadline.after(READY_S, "a frame to pass the router"))
        yield lambda: _measure(flow, settings, bench.patience("the router"))


def _ends() -> tuple[NicSpec, NicSpec]:
    """The host's two NICs: what it sends goes into the router."""
    return INWARDS.nic(), replace(OUTWARDS.nic(), name=OUT, routes=())


@contextmanager
def _by_guest(bench: Bench, settings: Routing) -> Iterator[NetNamespace]:
    """A guest is the router; gives the host's namespace."""
    onwards = replace(OUTWARDS.gateway_nic(OUT), routes=((BEYOND, OUTWARDS.address),))
    nics = tuple(
        replace(nic, wire=HostInterface(end))
        for nic, end in zip((INWARDS.gateway_nic(IN), onwards), _ends(), strict=True)
    )
    spec = bench.spec("router", settings.memory_bytes, nics)
    spec = replace(spec, sysctls={**spec.sysctls, **FORWARDING})
    with NetNamespace() as namespace, bench.backend.create(spec, bench.folder / spec.name, namespace) as guest:
        bench.start(guest)
        yield namespace


@contextmanager
def _by_gine(bench: Bench, _settings: Routing) -> Iterator[NetNamespace]:
    """The emulator is the router."""
    with ExitStack() as stack:
        namespace = stack.enter_context(NetNamespace())
        network = Network(bench.seed)
        router = network.router("router")
        for link, end in zip((INWARDS, OUTWARDS), _ends(), strict=True):
            link.connect(network, router, network.port(end.name, open_end(namespace, end)))
        router.route(BEYOND, via=OUTWARDS.address)
        engine = stack.enter_context(Engine(network, realtime_priority=realtime_priority()))
        yield namespace
        engine.check()


@contextmanager
def _flow(namespace: NetNamespace, payload: bytes) -> Iterator[Flow]:
    with ExitStack() as stack:
        sock = stack.enter_context(namespace.call(_socket))
        counters = stack.enter_context(namespace.call(Path("/proc/thread-self/net/dev").open))
        sock.connect(TARGET)
        yield Flow(sock, counters.fileno(), payload)


def _socket() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)


@dataclass(frozen=True)
class Flow:
    """Datagrams into the router, and a count of those that came out.  counters: a /proc/net/dev of the namespace."""

    sock: socket.socket
    counters: int
    payload: bytes

    def count(self) -> int:
        """Frames that have come out so far."""
        return traffic(os.pread(self.counters, 1 << 16, 0).decode(), {OUT})["rx_frames"]

    def send(self, frames: int) -> None:
        """Offer frames back to back; those that find no room are lost.  RunError when they cannot be sent."""
        send, payload = self.sock.send, self.payload
        for _ in range(frames):
            try:
                send(payload)
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.ENOBUFS):
                    raise RunError("the host cannot send to the router", found=str(error)) from error

    def pour(self, seconds: float) -> int:
        """Offer frames for so long; how many."""
        offered, ends_s = 0, time.monotonic() + seconds
        while time.monotonic() < ends_s:
            self.send(BATCH)
            offered += BATCH
        return offered

    def wait_for_way(self, deadline: Deadline) -> None:
        """Wait until what is sent comes out."""
        before = self.count()

        def came_out() -> bool:
            self.send(1)
            return self.count() > before

        deadline.wait_until(came_out)

    def rest(self, deadline: Deadline) -> int:
        """Wait until nothing comes out any more; the count then."""
        count, since_s = self.count(), time.monotonic()
        while time.monotonic() - since_s < IDLE_S:
            deadline.check()
            time.sleep(IDLE_S / 10)
            if self.count() != count:
                count, since_s = self.count(), time.monotonic()
        return count


def _measure(flow: Flow, settings: Routing, deadline: Deadline) -> Sample:
    flow.send(settings.burst_frames)  # from here on the queue is full
    first, began_s = flow.count(), time.monotonic()
    offered = flow.pour(settings.duration_ns / 1e9)
    forwarded, seconds = flow.count() - first, time.monotonic() - began_s
    flow.rest(deadline)
    bursts = [_burst(flow, settings.burst_frames, deadline) for _ in range(settings.bursts)]
    raw = {"offered": offered, "forwarded": forwarded, "seconds": seconds, "bursts": bursts}
    return Sample(capacity(offered, forwarded, seconds) | queue(bursts, settings.burst_frames), raw)


def _burst(flow: Flow, frames: int, deadline: Deadline) -> tuple[int, int]:
    """Of a burst: how many got through, and how many of these were on their way when the last had been sent."""
    before = flow.count()
    flow.send(frames)
    passed = flow.count() - before
    through = flow.rest(deadline) - before
    return through, through - passed


def capacity(offered: int, forwarded: int, seconds: float) -> dict[str, float]:
    """Frames per second; by another name where the router was not overloaded, and could perhaps do more."""
    if not forwarded:
        raise RunError("the router forwards nothing while it is offered more than it can", found=f"{offered} offered")
    limited = forwarded < OVERLOADED * offered
    return {"router_frames_per_s" if limited else "router_frames_at_least_per_s": forwarded / seconds}


def queue(bursts: list[tuple[int, int]], frames: int) -> dict[str, float]:
    """Medians of the bursts: what got through, and, unless that was everything, what waited at the end."""
    through = median(got for got, _ in bursts)
    found = {"router_burst_frames": float(through)}
    return found if through >= frames else found | {"router_queue_frames": float(median(late for _, late in bursts))}
