"""The TCP model alone: two hosts, a router, lines that lose, drop and delay."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.lines import LineSpec
from hostemu.protocol.reasons import Reason
from hostemu.sim.clock import Clock
from hostemu.sim.cpu import Thread
from hostemu.sim.kernel import Kernel, Port
from hostemu.sim.network import Host, Network
from hostemu.sim.packets import MSS_BYTES, Datagram, Segment
from hostemu.sim.tcp import TcpConnection, TcpState

MS = 1_000_000
S = 1_000 * MS


class End:
    """Collects what happens at one end."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.data = b""
        self.events: list[tuple[int, str]] = []

    def opened(self) -> None:
        self.events.append((self.clock.now_ns, "opened"))

    def received(self, data: bytes) -> None:
        self.data += data

    def broken(self, reason: Reason) -> None:
        self.events.append((self.clock.now_ns, reason.name))


class Pair:
    """A client and a server, 10 ms apart if nothing else is said; `answer` is the server's port."""

    def __init__(self, spec: LineSpec | None = None, seed: int = 1) -> None:
        self.answer = Port.OPEN
        self.clock = Clock()
        network = Network(self.clock, Thread(self.clock, None), 0)
        flows = itertools.count(1)
        spec = LineSpec(delay_ns=10 * MS) if spec is None else spec
        self.hosts = [
            Host("client", "client", LineSpec(), LineSpec(), seed),
            Host("server", "server", spec, spec, seed),
        ]
        self.kernels = [Kernel(self.clock, network, host, flows) for host in self.hosts]
        self.kernels[1].service = self
        self.client, self.server = End(self.clock), End(self.clock)
        self.accepted: list[TcpConnection] = []

    def port(self, terminal: int | None, port: int) -> Port:
        return self.answer

    def accept(self, connection: TcpConnection, syn: Segment) -> End:
        self.accepted.append(connection)
        return self.server

    def received_from(self, source: Host, datagram: Datagram) -> None:
        self.server.data += datagram.data

    def connect(self) -> TcpConnection:
        return self.kernels[0].connect(self.hosts[1], self.client, port=1)

    def run(self, until_ns: int | None = None) -> None:
        self.clock.env.run(until_ns)


def test_a_connection_opens_in_one_round_trip() -> None:
    pair = Pair()
    connection = pair.connect()
    pair.run()
    assert pair.client.events == [(20 * MS, "opened")]
    assert pair.server.events == [(30 * MS, "opened")]
    assert connection.state is TcpState.ESTABLISHED


def test_a_closed_port_refuses_after_one_round_trip() -> None:
    pair = Pair()
    pair.answer = Port.CLOSED
    pair.connect()
    pair.run()
    assert pair.client.events == [(20 * MS, "REFUSED")]
    assert not pair.kernels[0].sockets


def test_syns_to_a_silent_port_are_repeated_at_1_3_7_15_31_and_63_seconds() -> None:
    pair = Pair()
    pair.answer = Port.SILENT
    pair.connect()
    sent = []
    while pair.clock.env.peek() < float("inf"):
        before = pair.hosts[0].up.counters().frames_in
        pair.clock.env.step()
        if pair.hosts[0].up.counters().frames_in > before:
            sent.append(pair.clock.now_ns // S)
    assert sent == [1, 3, 7, 15, 31, 63]
    assert pair.client.events == [(127 * S, "SILENT")]


def test_a_lost_acknowledgement_of_the_handshake_is_made_good_by_the_data() -> None:
    pair = Pair()
    connection = pair.connect()
    pair.run(25 * MS)
    assert pair.accepted[0].state is TcpState.SYN_RECEIVED
    pair.accepted[0].is_deaf = True
    pair.run(35 * MS)
    pair.accepted[0].is_deaf = False
    connection.send(b"hello")
    pair.run(60 * MS)
    assert pair.server.data == b"hello"
    assert pair.accepted[0].state is TcpState.ESTABLISHED


def test_a_reset_breaks_the_other_end_one_trip_later() -> None:
    pair = Pair()
    connection = pair.connect()
    pair.run(50 * MS)
    connection.abort()
    pair.run()
    assert pair.server.events[-1] == (60 * MS, "RESET")
    assert not pair.kernels[0].sockets
    assert not pair.kernels[1].sockets


def test_a_segment_for_a_connection_that_is_gone_is_answered_with_a_reset() -> None:
    pair = Pair()
    connection = pair.connect()
    pair.run(50 * MS)
    pair.kernels[1].sockets.clear()
    connection.send(b"anybody?")
    pair.run(80 * MS)
    assert pair.client.events[-1] == (70 * MS, "RESET")


def test_unanswered_data_is_repeated_at_doubling_intervals_from_200_ms_over_the_round_trip() -> None:
    pair = Pair()
    connection = pair.connect()
    pair.run(50 * MS)
    pair.accepted[0].is_deaf = True
    connection.send(b"x")
    pair.run(50 * MS + 220 * MS)
    count = pair.hosts[0].up.counters().frames_in
    pair.run(50 * MS + 220 * MS + 1)
    assert pair.hosts[0].up.counters().frames_in == count + 1
    pair.run(50 * MS + 220 * MS + 440 * MS + 1)
    assert pair.hosts[0].up.counters().frames_in == count + 2


def test_data_that_is_never_acknowledged_ends_the_connection() -> None:
    pair = Pair()
    connection = pair.connect()
    pair.run(50 * MS)
    pair.accepted[0].is_deaf = True
    connection.send(b"x")
    pair.run()
    assert pair.client.events[-1][1] == "TIMEOUT"


def test_a_long_stream_begins_with_ten_segments_and_doubles_each_round_trip() -> None:
    pair = Pair()
    connection = pair.connect()
    pair.run(50 * MS)
    connection.send(bytes(100 * MSS_BYTES))
    arrived = []
    for trip in range(3):
        pair.run(50 * MS + 10 * MS + trip * 20 * MS + MS)
        arrived.append(len(pair.server.data) // MSS_BYTES)
    assert arrived == [10, 30, 30 + 40]


def test_one_lost_segment_is_sent_again_without_waiting_for_the_time_out() -> None:
    pair = Pair()
    connection = pair.connect()
    pair.run(50 * MS)
    offer = pair.hosts[1].down.offer
    # The third data segment is lost on the way.
    fates = iter([None, None, -1])

    class Losing:
        def __getattr__(self, name: str) -> object:
            return getattr(line, name)

        def offer(self, now_ns: int, wire_bytes: int) -> int:
            return -1 if next(fates, None) == -1 else offer(now_ns, wire_bytes)

    line = pair.hosts[1].down
    pair.hosts[1].down = Losing()  # type: ignore[assignment]
    data = bytes(range(256)) * 50
    connection.send(data)
    pair.run(50 * MS + 60 * MS)
    assert pair.server.data == data


@settings(max_examples=60, deadline=None)
@given(
    loss=st.floats(0, 0.3),
    rate_bps=st.one_of(st.none(), st.integers(10**5, 10**8)),
    queue_bytes=st.integers(5_000, 100_000),
    pieces=st.lists(st.binary(min_size=1, max_size=4000), min_size=1, max_size=12),
    seed=st.integers(0, 2**32),
)
def test_a_stream_arrives_whole_and_in_order_over_any_line(
    loss: float, rate_bps: int | None, queue_bytes: int, pieces: list[bytes], seed: int
) -> None:
    queue = None if rate_bps is None else queue_bytes
    pair = Pair(LineSpec(rate_bps=rate_bps, queue_bytes=queue, delay_ns=3 * MS, loss=loss), seed)
    connection = pair.connect()
    for piece in pieces:
        connection.send(piece)
    pair.run(1000 * S)
    both = b"".join(pieces)
    gave_up = connection.state is TcpState.CLOSED
    assert both.startswith(pair.server.data) if gave_up else pair.server.data == both
    if loss < 0.1:
        assert not gave_up


def test_udp_reaches_an_open_port_is_refused_by_a_closed_one_and_unheard_by_a_silent_one() -> None:
    for port, data, events in (
        (Port.OPEN, b"hello", []),
        (Port.CLOSED, b"", [(20 * MS, "REFUSED")]),
        (Port.SILENT, b"", []),
    ):
        pair = Pair()
        pair.answer = port
        pair.kernels[0].udp_socket(pair.hosts[1], pair.client, terminal=0).send(b"hello")
        pair.run()
        assert (pair.server.data, pair.client.events) == (data, events)


@pytest.mark.parametrize(("size", "wire_bytes"), [(0, 84), (1, 84), (18, 84), (19, 85), (200, 266)])
def test_small_datagrams_take_a_minimum_frame_on_the_wire(size: int, wire_bytes: int) -> None:
    pair = Pair()
    pair.kernels[0].udp_socket(pair.hosts[1], pair.client, terminal=0).send(bytes(size))
    pair.run()
    assert pair.hosts[1].down.counters().bytes_out == wire_bytes
