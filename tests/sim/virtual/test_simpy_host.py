"""SimPy processes among guests of a calendar."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.base.deadline import Deadline
from hostemu.base.errors import InputError
from hostemu.gine import Network
from hostemu.lines.spec import LineSpec
from hostemu.sim.virtual import Calendar, SimpyHost
from hostemu.sim.virtual.tables import FOREVER_NS
from tests.sim.virtual.fake_kernel import FakeKernel

MS = 1_000_000
GUEST, HOST = b"\x02\x00\x00\x00\x00\x01", b"\x02\x00\x00\x00\x00\x02"
TYPE = b"\x88\xb5"


def between(host: SimpyHost, delay_ns: int) -> Network:
    """A guest, a switch, and the host, both with lines of that delay."""
    network, line = Network(seed=1), LineSpec(delay_ns=delay_ns)
    guest, switch = network.port("guest", 3), network.switch("lan")
    network.connect(guest, switch, forward=line, backward=line)
    network.connect(network.simulated("host", host.host), switch, forward=line, backward=line)
    return network


def played(host: SimpyHost, delay_ns: int, sends_ns: list[int], until_ns: int) -> FakeKernel:
    """Have a guest send frames at these times; the guest, once it has ended."""
    left = sorted(sends_ns)

    def wake(kernel: FakeKernel) -> int:
        while left and left[0] <= kernel.now_ns:
            kernel.send(HOST + GUEST + TYPE + left.pop(0).to_bytes(8, "big") + bytes(38))
        return left[0] if left else FOREVER_NS

    with (
        tempfile.TemporaryDirectory() as folder,
        Calendar(between(host, delay_ns), ["02:00:00:00:00:01"], Path(folder)) as calendar,
    ):
        kernel = FakeKernel(calendar, 0, wake)
        try:
            calendar.await_start(Deadline.after(10, "the guest to start"), 1)
            calendar.play(until_ns)
            assert calendar.imbalances() == []
        finally:
            kernel.end()
    assert kernel.panics == []
    return kernel


def answering(host: SimpyHost, work_ns: int) -> Iterator[simpy.Event]:
    """Answers each frame after some work, one after the other."""
    while True:
        frame = yield host.received.get()
        yield host.env.timeout(work_ns)
        host.send(frame[6:12] + frame[:6] + frame[12:])


@settings(max_examples=15)
@given(
    delay_ns=st.integers(MS // 2, 30 * MS),
    work_ns=st.integers(0, 5 * MS),
    sends_ns=st.lists(st.integers(1, 500 * MS), min_size=1, max_size=10, unique=True),
)
def test_a_process_works_in_the_guests_time(delay_ns: int, work_ns: int, sends_ns: list[int]) -> None:
    host = SimpyHost(simpy.Environment())
    host.env.process(answering(host, work_ns))
    kernel = played(host, delay_ns, sends_ns, 2000 * MS)
    free_ns, expected = 0, []
    for sent_ns in sorted(sends_ns):
        free_ns = max(free_ns, sent_ns + 2 * delay_ns) + work_ns
        expected.append((free_ns + 2 * delay_ns, sent_ns))
    found = [(at_ns, int.from_bytes(frame[14:22], "big")) for at_ns, frame in kernel.came]
    assert [sent_ns for _, sent_ns in found] == [sent_ns for _, sent_ns in expected]
    assert all(0 <= at_ns - due_ns <= 100 for (at_ns, _), (due_ns, _) in zip(found, expected, strict=True))


def test_a_process_may_speak_first() -> None:
    host = SimpyHost(simpy.Environment())

    def speak() -> Iterator[simpy.Event]:
        for _ in range(3):
            host.send(GUEST + HOST + TYPE + bytes(46))
            yield host.env.timeout(7 * MS)

    host.env.process(speak())
    kernel = played(host, MS, [10 * MS], 100 * MS)
    assert [at_ns for at_ns, _ in kernel.came] == [pytest.approx((2 + 7 * k) * MS, abs=100) for k in range(3)]


def test_what_a_process_raises_ends_the_run() -> None:
    host = SimpyHost(simpy.Environment())

    def fail() -> Iterator[simpy.Event]:
        yield host.received.get()
        raise RuntimeError("no")

    host.env.process(fail())
    with pytest.raises(RuntimeError, match="no"):
        played(host, MS, [10 * MS, 20 * MS], 100 * MS)


def test_there_is_a_limit_of_what_is_sent_at_once() -> None:
    host = SimpyHost(simpy.Environment())

    def flood() -> Iterator[simpy.Event]:
        yield host.received.get()
        for _ in range(100):
            host.send(GUEST + HOST + TYPE + bytes(1400))

    host.env.process(flood())
    with pytest.raises(InputError, match="sends too much at one moment"):
        played(host, MS, [10 * MS], 100 * MS)
