"""How many UDP datagrams of a size per second come from a guest to the host, while one sender sends what it can.

They are counted by the host's kernel, in a window of the sender's time: neither its start nor its end counts.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed
from hostemu.guests.api import GuestProcess
from hostemu.measure.bench import Bench, Once, Sample
from hostemu.measure.throughput_iperf import IPERF3_PORT, IPERF_PORT, READY_S, program
from hostemu.measure.traffic import PacketRate
from hostemu.measure.wiring import Pair, Wanted, joined

SPARE_S = 3
"""How much longer the sender sends than the window lasts."""

SETTLE_S = 0.3
"""From the first datagrams to the window."""

FIRST = 10
"""So many datagrams mean that sending has begun, and are more than a program's own greetings."""


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """One guest and one receiver for all repeats."""
    settings = bench.settings_of(PacketRate)
    tool = program()
    server, protocol, port = (
        (["iperf", "-s", "-u"], "udp", IPERF_PORT) if tool == "iperf" else (["iperf3", "-s"], "tcp", IPERF3_PORT)
    )
    with joined(bench, Wanted(settings.memory_bytes, (tool,))) as pair, pair.host.spawn(server) as receiver:
        pair.host.wait_listening(receiver, port, Deadline.after(READY_S, f"{tool}'s server"), protocol)
        argv = sender(tool, pair.host.address, settings, bench.chosen(*settings.varied))
        window_s = settings.duration_ns / 1e9
        yield lambda: _measure(pair, argv, window_s, bench.patience("the datagrams"))


def sender(tool: str, address: str, settings: PacketRate, payload_bytes: int) -> list[str]:
    """The command that offers so many datagrams of this size per second."""
    seconds = str(settings.duration_ns // 10**9 + SPARE_S)
    rate = f"{settings.rate_per_s}pps" if tool == "iperf" else str(settings.rate_per_s * payload_bytes * 8)
    return [tool, "-u", "-c", address, "-l", str(payload_bytes), "-b", rate, "-t", seconds]


def _measure(pair: Pair, argv: list[str], window_s: float, deadline: Deadline) -> Sample:
    before = pair.host.datagrams()
    with pair.guest.spawn(argv) as process:
        deadline.wait_until(lambda: _has_begun(process, pair.host.datagrams() - before))
        time.sleep(SETTLE_S)
        began_s, first = time.monotonic(), pair.host.datagrams()
        time.sleep(window_s)
        count, seconds = pair.host.datagrams() - first, time.monotonic() - began_s
        if process.poll() is not None:
            raise CommandFailed("the sender of datagrams ended early", found=f"exit status {process.poll()}")
    return Sample({"packets_per_s": count / seconds}, {"datagrams": count, "seconds": seconds, "tool": argv[0]})


def _has_begun(process: GuestProcess, count: int) -> bool:
    if count < FIRST and process.poll() is not None:
        raise CommandFailed("the sender of datagrams ended before it sent any", found=f"status {process.poll()}")
    return count >= FIRST
