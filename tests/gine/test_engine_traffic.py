"""Real packets of real kernels through switches and routers."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator

import pytest

from hostemu.base.deadline import Deadline
from hostemu.gine import Engine, Network
from hostemu.lines import LineSpec
from tests.gine.namespaces import Host, needs_taps
from tests.gine.pinging import Answer, ping

pytestmark = needs_taps

PERFECT = LineSpec()


@contextlib.contextmanager
def hosts_on_a_switch(*lines: LineSpec, v6: bool = True) -> Iterator[tuple[Engine, list[Host]]]:
    """A host for each line, 10.1.0.1, 10.1.0.2, …; `lines` are from host to switch."""
    with contextlib.ExitStack() as stack:
        hosts = [
            stack.enter_context(Host(f"h{k}", [f"10.1.0.{k}/24"] + [f"fd01::{k}/64"] * v6))
            for k in range(1, len(lines) + 1)
        ]
        network = Network(seed=1)
        lan = network.switch("lan")
        for host, line in zip(hosts, lines, strict=True):
            network.connect(network.port(host.name, host.fd), lan, forward=line)
        yield stack.enter_context(Engine(network)), hosts


@contextlib.contextmanager
def hosts_on_a_router(
    forward: LineSpec = PERFECT, backward: LineSpec = PERFECT
) -> Iterator[tuple[Engine, list[Host]]]:
    """Two hosts in subnets of their own; `forward` and `backward` are the line of host 1."""
    with contextlib.ExitStack() as stack:
        network = Network(seed=1)
        router = network.router("router")
        hosts = []
        for k in (1, 2):
            host = stack.enter_context(Host(f"h{k}", [f"10.{k}.0.2/30", f"fd00:{k}::2/126"]))
            host.ip([f"route add default via 10.{k}.0.1", f"route add default via fd00:{k}::1"])
            line = {"forward": forward, "backward": backward} if k == 1 else {}
            link = network.connect(network.port(host.name, host.fd), router, **line)
            router.interface(link, mac=f"02:00:00:00:ff:0{k}", addresses=(f"10.{k}.0.1/30", f"fd00:{k}::1/126"))
            hosts.append(host)
        yield stack.enter_context(Engine(network)), hosts


def counts(engine: Engine, name: str) -> dict[str, int]:
    return dict(next(node.counts for node in engine.node_counters() if node.name == name))


def settle(engine: Engine) -> None:
    """Stop; every sum must add up, and the emulator itself must have lost nothing."""
    engine.stop()
    assert engine.imbalances() == []
    assert engine.health().emulator_drops == 0


def test_ping_crosses_a_switch_in_both_families() -> None:
    with hosts_on_a_switch(LineSpec(), LineSpec(), LineSpec()) as (engine, hosts):
        assert ping(hosts[0], "10.1.0.2") == Answer("reply", 64, payload=b"hello")
        assert ping(hosts[1], "fd01::3") == Answer("reply", 64, payload=b"hello")
        settle(engine)
        assert counts(engine, "lan")["forwarded"] >= 4
        assert counts(engine, "lan")["flooded"] >= 2


@pytest.mark.parametrize("address", ["10.2.0.2", "fd00:2::2"])
def test_ping_crosses_a_router_and_loses_a_hop(address: str) -> None:
    with hosts_on_a_router() as (engine, hosts):
        for size in (0, 1, 1000):
            payload = bytes(range(250)) * 4
            assert ping(hosts[0], address, payload=payload[:size]) == Answer("reply", 63, payload=payload[:size])
        settle(engine)
        assert counts(engine, "router")["forwarded"] == 6


@pytest.mark.parametrize("address", ["10.1.0.1", "10.2.0.1", "fd00:1::1", "fd00:2::1"])
def test_the_router_answers_at_all_its_addresses(address: str) -> None:
    with hosts_on_a_router() as (engine, hosts):
        for size in (4, 5):
            assert ping(hosts[0], address, payload=b"\xff" * size) == Answer("reply", 64, payload=b"\xff" * size)
        settle(engine)
        assert counts(engine, "router")["forwarded"] == 0


def test_the_end_of_time_to_live_is_reported_by_the_router() -> None:
    with hosts_on_a_router() as (engine, hosts):
        assert ping(hosts[0], "10.2.0.2", ttl=1) == Answer("error", icmp=(11, 0), offender="10.1.0.1")
        assert ping(hosts[0], "fd00:2::2", ttl=1) == Answer("error", icmp=(3, 0), offender="fd00:1::1")
        assert ping(hosts[0], "10.2.0.2", ttl=2) == Answer("reply", 63, payload=b"hello")
        settle(engine)
        assert counts(engine, "router")["drop_ttl_exceeded"] == 2


def test_networks_without_a_route_are_reported() -> None:
    with hosts_on_a_router() as (engine, hosts):
        assert ping(hosts[0], "10.9.0.1") == Answer("error", icmp=(3, 0), offender="10.1.0.1")
        assert ping(hosts[0], "fd00:9::1") == Answer("error", icmp=(1, 0), offender="fd00:1::1")
        settle(engine)
        assert counts(engine, "router")["drop_no_route"] == 2


@pytest.mark.parametrize(
    ("address", "word", "offender"),
    [("10.2.0.2", (3, 1), "10.1.0.1"), ("fd00:2::2", (1, 3), "fd00:1::1")],
)
def test_a_next_hop_that_does_not_answer_is_reported(address: str, word: tuple[int, int], offender: str) -> None:
    with hosts_on_a_router() as (engine, hosts):
        hosts[1].ip(["addr flush dev eth0"])
        assert ping(hosts[0], address) == Answer("error", icmp=word, offender=offender)
        settle(engine)
        assert counts(engine, "router")["drop_unreachable"] == 1
        assert engine.held_packets() == 0


def test_a_tcp_port_of_the_router_is_refused() -> None:
    with hosts_on_a_router() as (engine, hosts):
        for family, address in ((socket.AF_INET, "10.1.0.1"), (socket.AF_INET6, "fd00:1::1")):
            with hosts[0].entered():
                client = socket.socket(family)
            client.settimeout(5)
            with client, pytest.raises(ConnectionRefusedError):
                client.connect((address, 80))
        settle(engine)


def transfer(sender: Host, receiver: Host, address: str, data: bytes) -> str:
    """Send `data` over TCP; the SHA-256 of what arrived."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with receiver.entered():
        listener = socket.create_server((address, 0), family=family)
    with sender.entered():
        client = socket.socket(family)
    with listener, client:
        client.settimeout(60)
        client.connect((address, listener.getsockname()[1]))
        peer, _ = listener.accept()
        with peer:
            peer.settimeout(60)
            thread = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
            thread.start()
            digest = hashlib.sha256()
            while chunk := peer.recv(1 << 18):
                digest.update(chunk)
            thread.join(60)
    return digest.hexdigest()


@pytest.mark.parametrize("address", ["10.2.0.2", "fd00:2::2"])
@pytest.mark.parametrize("upstream", [True, False])
def test_tcp_survives_loss_byte_for_byte(address: str, upstream: bool) -> None:
    lossy = LineSpec(loss=0.01, delay_ns=200_000)
    data = hashlib.shake_256(b"data").digest(6_000_000)
    with hosts_on_a_router(lossy if upstream else LineSpec(), LineSpec() if upstream else lossy) as (engine, hosts):
        sender, receiver = hosts if upstream else reversed(hosts)
        to = address if upstream else address.replace("2", "1", 1).replace("fd00:2", "fd00:1")
        assert transfer(sender, receiver, to, data) == hashlib.sha256(data).hexdigest()
        settle(engine)
        line = engine.line_counters()[0 if upstream else 1]
        other = engine.line_counters()[1 if upstream else 0]
        assert line.frames_in > len(data) // 1448
        assert 0 < line.frames_lost < line.frames_in * 0.03
        assert other.frames_lost == 0


def test_a_slow_line_carries_its_rate_and_drops_what_its_queue_cannot_hold() -> None:
    line = LineSpec(rate_bps=20_000_000, queue_bytes=20_000, delay_ns=1_000_000)
    data = hashlib.shake_256(b"slow").digest(1_500_000)
    with hosts_on_a_router(forward=line) as (engine, hosts):
        assert transfer(hosts[0], hosts[1], "10.2.0.2", data) == hashlib.sha256(data).hexdigest()
        settle(engine)
        counted = engine.line_counters()[0]
        assert counted.frames_dropped > 0
        assert counted.bytes_out > len(data)


def test_udp_super_frames_are_delivered_datagram_by_datagram() -> None:
    size, count = 1000, 40
    payload = b"".join(bytes([k]) * size for k in range(count))
    with hosts_on_a_switch(LineSpec(loss=0.2), LineSpec(), v6=False) as (engine, hosts):
        ping(hosts[1], "10.1.0.1")
        with hosts[1].entered():
            receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with hosts[0].entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with receiver, sender:
            receiver.bind(("10.1.0.2", 0))
            receiver.settimeout(1)
            sender.setsockopt(socket.IPPROTO_UDP, 103, size)  # UDP_SEGMENT
            before = engine.line_counters()[0]
            sender.sendto(payload, receiver.getsockname())
            arrived = []
            with contextlib.suppress(TimeoutError):
                while True:
                    arrived.append(receiver.recv(2048))
        settle(engine)
        after = engine.line_counters()[0]
        assert after.frames_in - before.frames_in == count
        assert len(arrived) == count - (after.frames_lost - before.frames_lost)
        assert 0 < len(arrived) < count
        assert all(datagram == datagram[:1] * size for datagram in arrived)
        assert arrived == sorted(arrived)


def test_stopping_with_frames_in_flight_still_adds_up() -> None:
    with hosts_on_a_switch(LineSpec(delay_ns=10_000_000_000), LineSpec()) as (engine, hosts):
        with hosts[0].entered():
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with sender:
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            for _ in range(50):
                sender.sendto(b"x", ("10.1.0.255", 9))
        arrived = Deadline.after(10, "50 frames on the line")
        arrived.wait_until(lambda: engine.line_counters()[0].frames_in >= 50)
        settle(engine)
        assert engine.line_counters()[0].frames_in_flight >= 50


SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23


@contextlib.contextmanager
def hosts_on_packet_sockets() -> Iterator[tuple[Engine, list[Host]]]:
    """Two hosts on veth pairs; the emulator has packet sockets on their near ends."""
    with contextlib.ExitStack() as stack:
        near = stack.enter_context(Host("near", []))
        network = Network(seed=1)
        lan = network.switch("lan")
        hosts = []
        for k in (1, 2):
            host = stack.enter_context(Host(f"h{k}", []))
            path = f"/proc/{os.getpid()}/fd/{host.namespace_fd}"
            near.ip([f"link add g{k} type veth peer name veth0 netns {path}", f"link set g{k} up"])
            host.ip([f"addr add 10.1.0.{k}/24 dev veth0", "link set eth0 down", "link set veth0 up"])
            with near.entered():
                raw = stack.enter_context(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))
                raw.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
                raw.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
                raw.bind((f"g{k}", 3))  # ETH_P_ALL
            network.connect(network.port(host.name, raw.fileno()), lan)
            hosts.append(host)
        yield stack.enter_context(Engine(network)), hosts


def test_packet_sockets_are_ports_too() -> None:
    data = hashlib.shake_256(b"veth").digest(4_000_000)
    with hosts_on_packet_sockets() as (engine, hosts):
        assert transfer(hosts[0], hosts[1], "10.1.0.2", data) == hashlib.sha256(data).hexdigest()
        engine.stop()
        assert engine.imbalances() == []
        health = engine.health()
        assert health.malformed == 0
        assert health.packets_written > len(data) // 1448
        assert health.frames_written < health.packets_written
