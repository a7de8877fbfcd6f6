"""The calendar with guests that are played: time only goes forward, and lines are as long as they are."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.base.deadline import Deadline
from hostemu.base.errors import InputError
from hostemu.gine import Network
from hostemu.lines.spec import LineSpec
from hostemu.sim.virtual import Calendar
from hostemu.sim.virtual.calendar import lookahead_ns, port_descriptors
from hostemu.sim.virtual.tables import FOREVER_NS
from tests.sim.virtual.fake_kernel import FakeKernel

MS = 1_000_000
ROUTER_MAC = "02:00:00:00:02:{:02x}"
MAC = "02:00:00:00:01:{:02x}"
IPV4 = b"\x08\x00"
WITHIN_NS = 100
"""Frames on one line never arrive together: each is at least 1 ns behind the one before."""


def star(delays_ns: Sequence[int]) -> Network:
    """A router and hosts, each with a line of its own delay."""
    network = Network(seed=1)
    router = network.router("router")
    for number, fd in enumerate(port_descriptors(len(delays_ns))):
        line = LineSpec(delay_ns=delays_ns[number])
        link = network.connect(network.port(f"g{number}", fd), router, forward=line, backward=line)
        router.interface(link, mac=ROUTER_MAC.format(number), addresses=(f"10.0.{number}.1/30",))
        router.neighbour(f"10.0.{number}.2", MAC.format(number))
    return network


def packed(mac: str) -> bytes:
    return bytes.fromhex(mac.replace(":", ""))


def frame(source: int, target: int, payload: bytes) -> bytes:
    """An IPv4 packet from one host to another, by its router."""
    addresses = IPv4Address(f"10.0.{source}.2").packed + IPv4Address(f"10.0.{target}.2").packed
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, 64, 253, 0) + addresses
    total = sum(struct.unpack(">10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack(">H", 0xFFFF ^ ((total & 0xFFFF) + (total >> 16))) + head[12:]
    return packed(ROUTER_MAC.format(source)) + packed(MAC.format(source)) + IPV4 + head + payload


@dataclass
class Chatter:
    """Sends frames to random others at random times, and answers nothing."""

    random: Random
    others: Sequence[int]
    until_ns: int
    next_ns: int = 0

    def __call__(self, kernel: FakeKernel) -> int:
        if kernel.now_ns >= self.until_ns:
            return FOREVER_NS
        if kernel.now_ns < self.next_ns:
            return self.next_ns
        for _ in range(self.random.choice((0, 0, 1, 1, 2, 5))):
            target = self.random.choice(self.others)
            kernel.send(
                frame(kernel.number, target, struct.pack("<QI", kernel.now_ns, kernel.number).ljust(26, b"\0"))
            )
        step_ns = self.random.choice((1, 1000, 250_000, 3 * MS, 40 * MS))
        self.next_ns = kernel.now_ns + 1 + self.random.randrange(step_ns)
        return self.next_ns


def talk(
    delays_ns: Sequence[int], seed: int, until_ns: int, steps: Sequence[int] = ()
) -> tuple[list[FakeKernel], bytes, dict[str, int]]:
    """Let guests talk, in steps of that long; the guests, the trace of their frames, and the calendar's counters."""
    count = len(delays_ns)
    rows: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as folder:
        macs = [MAC.format(number) for number in range(count)]
        with Calendar(star(delays_ns), macs, Path(folder), trace=rows.append) as calendar:
            kernels = []
            for number in range(count):
                others = [other for other in range(count) if other != number]
                chatter = Chatter(Random(f"{seed} {number}"), others, until_ns - 500 * MS)
                kernels.append(FakeKernel(calendar, number, chatter))
            calendar.await_start(Deadline.after(10, "all to start"), count)
            for step_ns in steps:
                calendar.play(min(until_ns, calendar.now_ns + step_ns))
            calendar.play(until_ns)
            counters = calendar.counters()
            assert calendar.imbalances() == []
            for kernel in kernels:
                kernel.end()
    return kernels, b"".join(part.tobytes() for part in rows), counters


delays = st.lists(st.integers(0, 20 * MS), min_size=2, max_size=4).filter(lambda found: sorted(found)[1] >= MS // 2)


@settings(max_examples=25)
@given(delays_ns=delays, seed=st.integers(0, 1 << 32), steps=st.lists(st.integers(0, 30 * MS), max_size=5))
def test_time_only_goes_forward_and_frames_come_when_their_lines_let_them(
    delays_ns: list[int], seed: int, steps: list[int]
) -> None:
    check(delays_ns, seed, 1000 * MS, steps)


@pytest.mark.heavy
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [1, 2])
def test_time_only_goes_forward_for_a_long_time(seed: int) -> None:
    random = Random(seed)
    delays_ns = [0, *(random.randrange(MS // 2, 20 * MS) for _ in range(4))]
    check(delays_ns, seed, 120_000 * MS, [random.randrange(30 * MS) for _ in range(1000)])


def check(delays_ns: Sequence[int], seed: int, until_ns: int, steps: Sequence[int]) -> None:
    """Have guests talk: no kernel would panic, and every frame arrives when its lines let it, within WITHIN_NS."""
    kernels, _, counters = talk(delays_ns, seed, until_ns, steps)
    assert [kernel.panics for kernel in kernels] == [[] for _ in kernels]
    came = 0
    for kernel in kernels:
        for at_ns, content in kernel.came:
            sent_ns, source = struct.unpack_from("<QI", content, 34)
            way_ns = delays_ns[source] + delays_ns[kernel.number]
            assert 0 <= at_ns - sent_ns - way_ns <= WITHIN_NS
            came += 1
    assert came == counters["frames_sent"] == counters["frames_received"]
    assert counters["late"] == 0


def test_what_guests_send_repeats_however_it_is_cut_into_steps() -> None:
    first = talk([0, 2 * MS, 5 * MS], 7, 2000 * MS)
    again = talk([0, 2 * MS, 5 * MS], 7, 2000 * MS)
    cut = talk([0, 2 * MS, 5 * MS], 7, 2000 * MS, [1, 3 * MS, 700_001, 123 * MS])
    assert len(first[1]) > 100 * 32
    assert first[1] == again[1]
    assert [kernel.came for kernel in first[0]] == [kernel.came for kernel in cut[0]]


def test_guests_never_pass_the_environment_that_they_follow() -> None:
    env = simpy.Environment()
    seen: list[tuple[int, int]] = []

    def look() -> Iterator[simpy.Event]:
        while True:
            yield env.timeout(1_234_567)
            seen.append((env.now, max(kernel.now_ns for kernel in kernels)))

    with tempfile.TemporaryDirectory() as folder:
        macs = [MAC.format(number) for number in range(2)]
        with Calendar(star([MS, MS]), macs, Path(folder)) as calendar:
            kernels = [FakeKernel(calendar, number, lambda kernel: kernel.now_ns + 300_001) for number in range(2)]
            calendar.await_start(Deadline.after(10, "all to start"), 2)
            env.process(look())
            env.process(calendar.follow(env))
            env.run(until=100 * MS)
            assert calendar.now_ns == pytest.approx(100 * MS, abs=calendar.lookahead_ns)
            for kernel in kernels:
                kernel.end()
    assert len(seen) == 81
    assert all(now_ns - 300_001 - 1 <= guests_ns <= now_ns for now_ns, guests_ns in seen)


def test_a_guest_that_ends_does_not_hold_up_the_others() -> None:
    with tempfile.TemporaryDirectory() as folder:
        macs = [MAC.format(number) for number in range(2)]
        with Calendar(star([MS, MS]), macs, Path(folder)) as calendar:
            kernels = [FakeKernel(calendar, number, lambda kernel: kernel.now_ns + MS) for number in range(2)]
            calendar.await_start(Deadline.after(10, "all to start"), 2)
            calendar.play(50 * MS)
            kernels[0].end()
            calendar.play(100 * MS)
            assert calendar.ended == ["g0"]
            assert 50 * MS < kernels[1].now_ns <= 100 * MS
            kernels[1].end()


@pytest.mark.parametrize(
    ("delays_ns", "least_ns"), [([10, 10], 20), ([0, 10], 10), ([5, 0, 30], 5), ([7, 9, 30], 16), ([4], 1_000_000)]
)
def test_nobody_can_be_disturbed_within_the_shortest_way(delays_ns: list[int], least_ns: int) -> None:
    assert lookahead_ns(star(delays_ns)) == least_ns


def test_without_any_delay_there_is_no_window() -> None:
    with pytest.raises(InputError, match="lines that take time"):
        lookahead_ns(star([0, 0, 10]))
