"""Speed and accuracy of the emulator, as printed figures and as ratios to a veth pair of the same run.

A shared machine is noisy; each figure is the best of a few short tries.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from numba import njit, types

from hostemu.gine import Engine, Network
from hostemu.lines import LINE, Line, LineSpec, LineState, line_key, offer
from tests.gine.namespaces import Host, Process, needs_taps

pytestmark = [pytest.mark.bench, needs_taps]

PERFECT = LineSpec()
TRIES = 3
SECONDS = 2
SO_TIMESTAMPNS = 35
_sendmmsg = types.ExternalFunction("sendmmsg", types.int32(types.int32, types.uintp, types.uint32, types.int32))


@contextlib.contextmanager
def emulated_pair(forward: LineSpec = PERFECT, **options: int) -> Iterator[tuple[Engine | None, Host, Host]]:
    """Two hosts with one line between."""
    with contextlib.ExitStack() as stack:
        hosts = [stack.enter_context(Host(f"h{k}", [f"10.1.0.{k}/24"])) for k in (1, 2)]
        network = Network(seed=1)
        first, second = (network.port(host.name, host.fd) for host in hosts)
        network.connect(first, second, name="line", forward=forward)
        yield stack.enter_context(Engine(network, **options)), hosts[0], hosts[1]


@contextlib.contextmanager
def veth_pair() -> Iterator[tuple[Engine | None, Host, Host]]:
    """The baseline: the same two hosts, joined by the kernel."""
    with Host("h1", []) as one, Host("h2", []) as other:
        path = f"/proc/{os.getpid()}/fd/{other.namespace_fd}"
        one.ip([f"link add veth0 type veth peer name veth0 netns {path}"])
        for k, host in ((1, one), (2, other)):
            host.ip([f"addr add 10.1.0.{k}/24 dev veth0", "link set veth0 up", "link set eth0 down"])
        yield None, one, other


def best(measure: Callable[[], float]) -> float:
    return max(measure() for _ in range(TRIES))


def tcp_gbps(sender: Host, receiver: Host, seconds: int = SECONDS) -> float:
    """Goodput of one TCP connection, as iperf3 counts it at the receiver."""
    with Process(receiver, "iperf3", "-s", "-1", "-p", "5201", "--forceflush") as server:
        assert server.popen.stdout is not None
        while "Server listening" not in server.popen.stdout.readline():
            assert server.popen.poll() is None
        done = sender.run("iperf3", "-c", "10.1.0.2", "-p", "5201", "-t", str(seconds), "-J", timeout_s=60)
    return float(json.loads(done.stdout)["end"]["sum_received"]["bits_per_second"]) / 1e9


@njit(nogil=True)  # type: ignore[misc]
def _flood(fd: int, messages: np.ndarray, count: int, rounds: int) -> int:
    sent = 0
    for _ in range(rounds):
        done = _sendmmsg(np.int32(fd), messages.ctypes.data, np.uint32(count), np.int32(0))
        sent += max(0, done)
    return sent


def flood_kpps(sender: Host, receiver: Host) -> float:
    """Datagrams of 18 bytes (60-byte frames) that reach the other host's UDP, per millisecond."""
    batch = 64
    payload = np.zeros(18, np.uint8)
    vector = np.array([payload.ctypes.data, 18], np.uint64)
    messages = np.zeros((batch, 8), np.uint64)  # struct mmsghdr
    messages[:, 2] = vector.ctypes.data
    messages[:, 3] = 1
    with sender.entered():
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with out:
        out.connect(("10.1.0.2", 9))
        before = udp_datagrams(receiver)
        begin = time.perf_counter()
        while time.perf_counter() - begin < SECONDS / 2:
            _flood(out.fileno(), messages, batch, 16)
        seconds = time.perf_counter() - begin
        return (udp_datagrams(receiver) - before) / seconds / 1e3


def udp_datagrams(host: Host) -> int:
    """Datagrams that the host's UDP has seen, for ports without a listener too."""
    text = host.run("cat", "/proc/net/snmp").stdout
    rows = [line.split() for line in text.splitlines() if line.startswith("Udp:")]
    counters = dict(zip(rows[0], rows[1], strict=True))
    return sum(int(counters[name]) for name in ("InDatagrams", "NoPorts", "InErrors"))


def test_one_engine_carries_gigabits_of_tcp() -> None:
    with veth_pair() as (_, one, other):
        direct = best(lambda: tcp_gbps(one, other))
    with emulated_pair() as (engine, one, other):
        emulated = best(lambda: tcp_gbps(one, other))
        assert engine is not None
        health = engine.health()
    print(f"\nTCP Gbit/s: veth {direct:.2f}, GINE {emulated:.2f}, ratio {emulated / direct:.2f}; {health}")
    assert health.emulator_drops == 0
    assert emulated > 0.1 * direct


def test_one_engine_carries_many_small_packets() -> None:
    with veth_pair() as (_, one, other):
        flood_kpps(one, other)
        direct = best(lambda: flood_kpps(one, other))
    with emulated_pair() as (engine, one, other):
        emulated = best(lambda: flood_kpps(one, other))
        assert engine is not None
        health = engine.health()
    print(f"\nsmall packets kpps: veth {direct:.0f}, GINE {emulated:.0f}, ratio {emulated / direct:.2f}; {health}")
    assert emulated > 0.1 * direct


def one_way_errors_us(sender: Host, receiver: Host, delay_ns: int, count: int = 1000) -> list[float]:
    """Receive stamp of the kernel minus the sender's clock minus the line's delay, sorted, in µs."""
    with receiver.entered():
        into = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sender.entered():
        out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    errors = []
    with into, out:
        into.bind(("10.1.0.2", 0))
        into.settimeout(2)
        into.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        out.connect(into.getsockname())
        for _ in range(count):
            out.send(struct.pack("q", time.clock_gettime_ns(time.CLOCK_REALTIME)))
            data, ancillary, _, _ = into.recvmsg(64, 64)
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            sent_ns = struct.unpack("q", data)[0]
            errors.append((seconds * 10**9 + nanoseconds - sent_ns - delay_ns) / 1e3)
    return sorted(errors)


def test_one_way_delay_is_accurate() -> None:
    delay_ns = 10_000_000
    with veth_pair() as (_, one, other):
        direct = one_way_errors_us(one, other, 0)
    with emulated_pair(LineSpec(delay_ns=delay_ns)) as (engine, one, other):
        tries = [one_way_errors_us(one, other, delay_ns, 300) for _ in range(TRIES)]
        assert engine is not None
        health = engine.health()
    errors = min(tries, key=lambda row: row[int(len(row) * 0.99)])
    for name, row in (("veth", direct), ("GINE at 10 ms", errors)):
        p50, p90, p99 = (row[int(len(row) * share)] for share in (0.5, 0.9, 0.99))
        print(f"\none-way error µs, {name}: p50 {p50:.0f}, p90 {p90:.0f}, p99 {p99:.0f}, max {row[-1]:.0f}")
    print(health)
    assert errors[0] >= 0
    assert errors[len(errors) // 2] < 2000


def test_a_100_mbit_line_gives_tcp_its_94_mbit() -> None:
    line = LineSpec(rate_bps=100_000_000, queue_bytes=150_000, delay_ns=1_000_000)
    with emulated_pair(line) as (engine, one, other):
        rates = [1000 * tcp_gbps(one, other, 4) for _ in range(2)]
        assert engine is not None
        counters = engine.line_counters()[0]
    theory = 100 * 1448 / 1538
    print(f"\n100 Mbit/s line: TCP {rates} Mbit/s, theory {theory:.2f}; {counters}")
    assert min(abs(rate - theory) for rate in rates) < 0.5


def test_a_line_costs_little_in_python_and_less_compiled() -> None:
    spec = LineSpec(rate_bps=10**9, queue_bytes=10**6, delay_ns=10**7, loss=0.01)
    key = line_key(1, "a", "forward")
    count = 100_000

    @njit  # type: ignore[misc]
    def many(lines: np.ndarray, first: int, count: int) -> None:
        for k in range(first, first + count):
            offer(lines[0], k * 1000, 1538)

    def seconds(work: Callable[[], object]) -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    line = Line(spec, key)
    plain = seconds(lambda: [line.offer(k * 1000, 1538) for k in range(count)])
    record = np.zeros(1, LINE).view(np.recarray)
    state = LineState.of(spec, key)
    record[0] = tuple(getattr(state, name) for name in LINE.names or ())
    many(record, 0, 0)
    one_by_one = seconds(lambda: [many(record, k, 1) for k in range(count)])
    together = seconds(lambda: many(record, count, count))
    print(
        f"\nns per offer: plain {plain / count * 1e9:.0f}, compiled one by one {one_by_one / count * 1e9:.0f}, "
        f"compiled in a loop {together / count * 1e9:.1f}"
    )
    assert plain < one_by_one


def test_idle_ports_cost_nothing() -> None:
    """Frames between two ports of a switch, alone and with 298 idle ports beside."""
    rates = {}
    for ports in (2, 300):
        with contextlib.ExitStack() as stack:
            hosts = [stack.enter_context(Host(f"h{k}", [f"10.1.0.{k}/24"])) for k in (1, 2)]
            hosts += [stack.enter_context(Host(f"h{k}", [])) for k in range(3, ports + 1)]
            network = Network(seed=1)
            lan = network.switch("lan")
            for host in hosts:
                network.connect(network.port(host.name, host.fd), lan)
            engine = stack.enter_context(Engine(network))
            rates[ports] = max(flood_kpps(hosts[0], hosts[1]) for _ in range(TRIES))
            engine.check()
    print(f"\nkpps through a switch by number of ports: {rates}, ratio {rates[300] / rates[2]:.2f}")
    assert rates[300] > 0.3 * rates[2]


def test_a_compiled_engine_starts_from_the_cache(tmp_path: Path) -> None:
    program = "import time; t = time.perf_counter(); from hostemu.gine import compile_engine; compile_engine(); "
    program += "print(time.perf_counter() - t)"
    seconds = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=200,
        )
        seconds.append(float(done.stdout))
    print(f"\nstart of the engine: compiling {seconds[0]:.1f} s, from the cache {seconds[1]:.2f} s")
    assert seconds[1] < seconds[0] / 3
