"""Throughput by iperf over TCP: many clients in the guest, the server on the host.

What counts is what the server has received, from the first connection's start to the last one's end: what clients say
includes what still waits in their sockets.  Where iperf 2 is missing iperf3 measures, which is another figure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed
from hostemu.base.packages import is_there
from hostemu.measure.bench import Bench, Once, Sample
from hostemu.measure.host_end import HostEnd
from hostemu.measure.traffic import Throughput
from hostemu.measure.wiring import Pair, Wanted, joined

IPERF_PORT, IPERF3_PORT = 5001, 5201
READY_S = 10.0
DRAIN_S = 20.0
"""What the last bytes may take to arrive after the clients have ended."""


@dataclass(frozen=True)
class Stream:
    """One connection: bytes, bits per second over its own time, and the client's address."""

    size_bytes: int
    rate_bps: int
    client: str

    @property
    def seconds(self) -> float:
        """How long it lasted; 0 for one that carried nothing."""
        return self.size_bytes * 8 / self.rate_bps if self.rate_bps else 0.0


@dataclass(frozen=True)
class Load:
    """So many clients at once, for so long."""

    clients: int
    seconds: int

    def options(self, address: str) -> list[str]:
        """What iperf and iperf3 are told: clients of the server at this address."""
        return ["-c", address, "-P", str(self.clients), "-t", str(self.seconds)]

    def iperf(self, address: str) -> list[str]:
        """iperf's command."""
        return ["iperf", *self.options(address), "-y", "C"]


def program() -> str:
    """The program that measures here."""
    return "iperf" if is_there("iperf") else "iperf3"


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """One guest for all repeats, one server for each."""
    settings = bench.settings_of(Throughput)
    load = Load(bench.chosen(*settings.varied), settings.duration_ns // 10**9)
    measure = _iperf if program() == "iperf" else _iperf3
    with joined(bench, Wanted(settings.memory_bytes, (program(),))) as pair:
        yield lambda: measure(pair, load, bench.patience("iperf"))


def _iperf(pair: Pair, load: Load, deadline: Deadline) -> Sample:
    with serving(pair.host) as received:
        finished = pair.guest.run(load.iperf(pair.host.address), deadline=deadline)
    check_count(len(received), load.clients, finished.stderr)
    sent = parse_streams(finished.stdout.decode(errors="replace"))
    raw = {"received_bytes": [stream.size_bytes for stream in received], "sent_bps": total_bps(sent)}
    return Sample({"iperf_bps": total_bps(received)}, raw)


@contextmanager
def serving(host: HostEnd) -> Iterator[list[Stream]]:
    """A server of iperf on the host; the list holds what it has received once the context is left."""
    received: list[Stream] = []
    with host.spawn(["iperf", "-s", "-y", "C"]) as server:
        host.wait_listening(server, IPERF_PORT, Deadline.after(READY_S, "iperf's server"))
        yield received
        host.wait_idle(server, IPERF_PORT, Deadline.after(DRAIN_S, "iperf's connections to end"))
        server.terminate()
        server.wait(Deadline.after(READY_S, "iperf's server to end"))
        received += parse_streams(server.stdout.read().decode(errors="replace"))


def check_count(found: int, wanted: int, said: bytes) -> None:
    """CommandFailed when the server has not served as many connections as there were clients."""
    if found != wanted:
        tail = said.decode(errors="replace").strip().splitlines()[-2:]
        raise CommandFailed(
            "not all clients of iperf were served",
            expected=f"{wanted} connections",
            found=" | ".join([f"{found} connections", *tail]),
            hint="give the guest more memory, or use fewer clients",
        )


def parse_streams(text: str) -> list[Stream]:
    """Every connection of a report in iperf's format C: time, addresses, ports, number, interval, bytes, bit/s.

    Lines of the sum (number −1) and lines that are none of the report are left out.
    """
    rows = (line.split(",") for line in text.splitlines())
    return [
        Stream(int(row[7]), int(row[8]), row[1] if row[4] == str(IPERF_PORT) else row[3])
        for row in rows
        if len(row) >= 9 and row[5].isdigit() and row[7].isdigit() and row[8].isdigit()
    ]


def total_bps(streams: list[Stream]) -> float:
    """All bits over the time of the longest connection; 0 of none."""
    longest_s = max((stream.seconds for stream in streams), default=0.0)
    return sum(stream.size_bytes for stream in streams) * 8 / longest_s if longest_s else 0.0


def _iperf3(pair: Pair, load: Load, deadline: Deadline) -> Sample:
    clients = ["iperf3", *load.options(pair.host.address), "-J"]
    with pair.host.spawn(["iperf3", "-s", "-1"]) as server:
        pair.host.wait_listening(server, IPERF3_PORT, Deadline.after(READY_S, "iperf3's server"))
        finished = pair.guest.run(clients, deadline=deadline)
    return parse_iperf3(finished.stdout.decode(errors="replace"))


def parse_iperf3(text: str) -> Sample:
    """What iperf3's server has received, from the client's JSON; CommandFailed when that does not say it."""
    try:
        end = json.loads(text)["end"]
        raw = {"sent_bps": end["sum_sent"]["bits_per_second"], "received_bytes": end["sum_received"]["bytes"]}
        return Sample({"iperf3_bps": float(end["sum_received"]["bits_per_second"])}, raw)
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed("iperf3 gave no result", found=f"{type(error).__name__}: {text[-200:]}") from error
