"""Hosts that are native code behind a port: called with frames, and at the moments that they ask for."""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from hostemu.gine import Engine, Network, Simulated
from hostemu.gine.world import NEVER_NS
from hostemu.lines import LineSpec
from tests.gine.sockets import VNET, ethernet, mac, socket_ports

MS = 1_000_000
DELAY = LineSpec(delay_ns=5 * MS)
CALL = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p
)


@dataclass
class Host:
    """A host in Python.  answer: what it says to a frame (None: its moment), and when it wants to be called next."""

    answer: Callable[[int, bytes | None], tuple[list[bytes], int]]
    calls: list[tuple[int, bytes | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._function = CALL(self._called)

    @property
    def simulated(self) -> Simulated:
        address = ctypes.cast(self._function, ctypes.c_void_p).value
        assert address is not None
        return Simulated(address, 0)

    def _called(self, _handle: int, now_ns: int, frame: int | None, size: int, said: int) -> int:
        octets = None if not frame else ctypes.string_at(frame, size)
        self.calls.append((now_ns, octets))
        frames, next_ns = self.answer(now_ns, octets)
        data = struct.pack("<q", next_ns)
        for each in frames:
            data += struct.pack("<q", len(each)) + each.ljust(len(each) + 7 & ~7, b"\0")
        ctypes.memmove(said, data, len(data))
        return len(data)


@contextmanager
def beside(host: Host) -> Iterator[tuple[Engine, object]]:
    """An engine with the host, a switch and a socket, 5 ms from each other."""
    with socket_ports(1) as (fds, (peer,)):
        network = Network(seed=1)
        switch = network.switch("lan")
        network.connect(network.port("peer", fds[0]), switch, forward=DELAY)
        network.connect(network.simulated("host", host.simulated), switch, backward=DELAY)
        with Engine(network) as engine:
            yield engine, peer
        assert engine.imbalances() == []


def test_it_answers_frames_when_they_have_come() -> None:
    def echo(_now_ns: int, frame: bytes | None) -> tuple[list[bytes], int]:
        if frame is None:
            return [], NEVER_NS
        return [VNET + frame[16:22] + frame[10:16] + frame[22:]] * 3, NEVER_NS

    host = Host(echo)
    with beside(host) as (engine, peer):
        began_s = time.monotonic()
        peer.send(ethernet(mac(2), mac(1), b"question"))  # type: ignore[attr-defined]
        answers = [peer.recv(2048) for _ in range(3)]  # type: ignore[attr-defined]
        took_s = time.monotonic() - began_s
    assert answers == [ethernet(mac(1), mac(2), b"question")] * 3
    assert took_s >= 0.01
    first, called = host.calls
    assert first == (0, None)
    assert called[1] == ethernet(mac(2), mac(1), b"question")
    ports = {node.name: node.counts for node in engine.node_counters() if node.kind == "port"}
    assert (ports["host"]["packets_written"], ports["host"]["packets_read"]) == (1, 3)


def test_it_is_called_at_the_moments_that_it_asks_for() -> None:
    def later(now_ns: int, frame: bytes | None) -> tuple[list[bytes], int]:
        if now_ns == 0:
            return [], NEVER_NS
        if frame is not None:
            return [], now_ns + 20 * MS
        return [ethernet(mac(1), mac(2), b"now")], NEVER_NS if len(host.calls) == 5 else now_ns + 10 * MS

    host = Host(later)
    with beside(host) as (_, peer):
        peer.send(ethernet(mac(2), mac(1)))  # type: ignore[attr-defined]
        for _ in range(3):
            assert peer.recv(2048) == ethernet(mac(1), mac(2), b"now")  # type: ignore[attr-defined]
        time.sleep(0.05)
    moments = [now_ns for now_ns, _ in host.calls[1:]]
    assert len(moments) == 4
    assert [later - earlier for earlier, later in pairwise(moments)] == [
        pytest.approx(step * MS, abs=1) for step in (20, 10, 10)
    ]
