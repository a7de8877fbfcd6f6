"""The engine frame by frame, through ports that are sockets; needs no privileges."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import struct
from collections.abc import Iterator

import numpy as np

from hostemu.base.deadline import Deadline
from hostemu.gine import Engine, Network
from hostemu.gine.switch import AGEING_NS, find_mac, learn_mac, mac_key
from hostemu.gine.world import NONE, World, empty_world
from hostemu.lines import LineSpec
from tests.gine.sockets import ethernet, mac, socket_ports
from tests.gine.test_gso import build

BROADCAST = b"\xff" * 6
PERFECT = LineSpec()


@contextlib.contextmanager
def lan(count: int, forward: LineSpec = PERFECT, **options: int) -> Iterator[tuple[Engine, list[socket.socket]]]:
    with socket_ports(count) as (fds, hosts):
        network = Network(seed=3)
        switch = network.switch("lan")
        for k, fd in enumerate(fds):
            network.connect(network.port(f"p{k}", fd), switch, forward=forward)
        with Engine(network, **options) as engine:
            yield engine, hosts


@contextlib.contextmanager
def routed(count: int) -> Iterator[tuple[Engine, list[socket.socket]]]:
    """Host k is 10.0.k.2 and fd00:k::2, its MAC address known to the router."""
    with socket_ports(count) as (fds, hosts):
        network = Network(seed=3)
        router = network.router("r")
        for k, fd in enumerate(fds):
            link = network.connect(network.port(f"p{k}", fd), router)
            router.interface(link, mac=f"02:00:00:00:ff:{k:02x}", addresses=(f"10.0.{k}.1/24", f"fd00:{k}::1/64"))
            for address in (f"10.0.{k}.2", f"fd00:{k}::2"):
                router.neighbour(address, f"02:00:00:00:00:{k:02x}")
        with Engine(network) as engine:
            yield engine, hosts


def read_count(engine: Engine, packets: int) -> None:
    """Wait until the engine has read so many packets."""
    Deadline.after(20, f"{packets} packets").wait_until(lambda: engine.health().packets_read >= packets, 0.001)


def balanced(engine: Engine) -> None:
    engine.stop()
    assert engine.imbalances() == []


def test_unknown_addresses_are_flooded_and_known_ones_are_not() -> None:
    with lan(4) as (engine, hosts):
        hosts[0].send(ethernet(mac(1), mac(0), b"who"))
        assert [host.recv(2000)[24:] for host in hosts[1:]] == [b"who"] * 3
        hosts[1].send(ethernet(mac(0), mac(1), b"me"))
        assert hosts[0].recv(2000) == ethernet(mac(0), mac(1), b"me")
        hosts[0].send(ethernet(mac(1), mac(0), b"hello"))
        assert hosts[1].recv(2000)[24:] == b"hello"
        hosts[0].send(ethernet(BROADCAST, mac(0), b"all"))
        assert [host.recv(2000)[24:] for host in hosts[1:]] == [b"all"] * 3
        balanced(engine)
        counts = next(node.counts for node in engine.node_counters() if node.name == "lan")
        assert (counts["flooded"], counts["copies"], counts["forwarded"]) == (2, 6, 2)


def test_an_address_that_moves_is_followed() -> None:
    with lan(3) as (engine, hosts):
        hosts[1].send(ethernet(BROADCAST, mac(7)))
        hosts[2].recv(2000)
        hosts[2].send(ethernet(BROADCAST, mac(7)))
        hosts[1].recv(2000)
        for _ in range(2):
            hosts[0].recv(2000)
        hosts[0].send(ethernet(mac(7), mac(0), b"here"))
        assert hosts[2].recv(2000)[24:] == b"here"
        balanced(engine)


def test_a_frame_to_where_it_came_from_goes_nowhere() -> None:
    with lan(2) as (engine, hosts):
        hosts[0].send(ethernet(BROADCAST, mac(1)))
        hosts[0].send(ethernet(mac(1), mac(2)))
        read_count(engine, 2)
        balanced(engine)
        counts = next(node.counts for node in engine.node_counters() if node.name == "lan")
        assert counts["drop_same_side"] == 1


def test_frames_keep_their_order_and_content() -> None:
    frames = [ethernet(mac(1), mac(0), struct.pack("!I", k) * (k % 300)) for k in range(2000)]
    with lan(2, LineSpec(rate_bps=10**9, delay_ns=100_000)) as (engine, hosts):
        received = []
        for first in range(0, 2000, 50):
            for frame in frames[first : first + 50]:
                hosts[0].send(frame)
            received += [hosts[1].recv(2000) for _ in range(50)]
        assert received == frames
        balanced(engine)


def test_loss_takes_the_same_packets_again_and_adds_up() -> None:
    survivors = []
    for _ in range(2):
        with lan(2, LineSpec(loss=0.3)) as (engine, hosts):
            for k in range(200):
                hosts[0].send(ethernet(mac(1), mac(0), struct.pack("!I", k)))
            read_count(engine, 200)
            balanced(engine)
            line = engine.line_counters()[0]
            assert line.frames_in == 200
            arrived = [hosts[1].recv(2000)[24:] for _ in range(engine.line_counters()[3].frames_out)]
            survivors.append(arrived)
    shorter, longer = sorted(survivors, key=len)  # one may have been stopped with the last frames in flight
    assert len(shorter) > 100
    assert longer[: len(shorter)] == shorter


def test_a_lossy_line_cuts_super_frames_packet_by_packet() -> None:
    payload = b"".join(struct.pack("!I", k) * 250 for k in range(60))
    with lan(2, LineSpec(loss=0.25)) as (engine, hosts):
        hosts[0].send(build("tcp", 4, payload, number=0, gso_size=1000))
        offered = Deadline.after(20, "60 packets")
        offered.wait_until(lambda: engine.line_counters()[0].frames_in >= 60, 0.001)
        line = engine.line_counters()[0]
        seen: set[int] = set()
        while len(seen) < line.frames_in - line.frames_lost:
            frame = hosts[1].recv(70_000)
            (number,) = struct.unpack_from("!I", frame, 10 + 14 + 20 + 4)
            data = frame[10 + 14 + 20 + 32 :]
            assert data == payload[number : number + len(data)]
            seen |= set(range(number // 1000, (number + len(data)) // 1000))
        balanced(engine)
        assert line.frames_in == 60
        assert 0 < line.frames_lost < 60
        assert line.bytes_in == 60 * (66 + 1000 + 24)


def test_packets_of_a_super_frame_do_not_wait_for_its_last_on_a_slow_line() -> None:
    payload = bytes(40_000)
    with lan(2, LineSpec(rate_bps=20_000_000)) as (engine, hosts):
        hosts[0].send(build("tcp", 4, payload, gso_size=1000))
        pieces = []
        while sum(pieces) < len(payload):
            pieces.append(len(hosts[1].recv(70_000)) - 76)
        balanced(engine)
        assert pieces == [1000] * 40


def test_what_a_host_does_not_take_is_counted_as_the_emulators_drop() -> None:
    with lan(2) as (engine, hosts):
        for k in range(2000):
            hosts[0].send(ethernet(mac(1), mac(0), bytes(1400) + struct.pack("!I", k)))
        read_count(engine, 2000)
        Deadline.after(20, "all frames").wait_until(
            lambda: engine.health().packets_written + engine.health().write_errors >= 2000
        )
        balanced(engine)
        health = engine.health()
        assert health.write_errors > 0
        assert health.emulator_drops == health.write_errors
        assert health.packets_written + health.write_errors == 2000
        assert engine.line_counters()[3].frames_out == 2000


def test_an_exhausted_pool_is_counted_and_everything_still_adds_up() -> None:
    with lan(300, LineSpec(delay_ns=10_000_000), frames=256) as (engine, hosts):
        for _ in range(400):
            hosts[0].send(ethernet(BROADCAST, mac(0)))
        read_count(engine, 400)
        balanced(engine)
        health = engine.health()
        assert health.pool_exhausted > 0
        assert health.slots_used == 256


def udp_v4(source: str, to: str, *, ttl: int = 64, payload: bytes = b"data") -> bytes:
    """An IPv4 packet with a right header checksum."""
    frame = bytearray(build("udp", 4, payload))[24:]
    frame[8] = ttl
    frame[10:12] = bytes(2)
    frame[12:20] = socket.inet_aton(source) + socket.inet_aton(to)
    total = sum(struct.unpack("!10H", frame[:20]))
    frame[10:12] = struct.pack("!H", 0xFFFF - total % 0xFFFF)
    return bytes(frame)


def test_the_router_forwards_with_new_addresses_and_one_hop_less() -> None:
    with routed(2) as (engine, hosts):
        packet = udp_v4("10.0.0.2", "10.0.1.2", ttl=10)
        hosts[0].send(ethernet(bytes.fromhex("02000000ff00"), mac(0), packet, 0x0800))
        expected = udp_v4("10.0.0.2", "10.0.1.2", ttl=9)
        received = hosts[1].recv(2000)
        assert received == ethernet(mac(1), bytes.fromhex("02000000ff01"), expected, 0x0800)
        balanced(engine)


def test_the_router_drops_what_is_not_for_it_and_says_why() -> None:
    router = bytes.fromhex("02000000ff00")
    broken = bytearray(udp_v4("10.0.0.2", "10.0.1.2"))
    broken[10] ^= 1
    wrong = {
        "drop_not_for_us": ethernet(mac(9), mac(0), udp_v4("10.0.0.2", "10.0.1.2"), 0x0800),
        "drop_unknown_protocol": ethernet(router, mac(0)),
        "drop_malformed": ethernet(router, mac(0), bytes(broken), 0x0800),
        "drop_not_routable": ethernet(router, mac(0), udp_v4("10.0.0.2", "10.0.1.255"), 0x0800),
        "drop_no_route": ethernet(router, mac(0), udp_v4("10.0.0.2", "11.0.0.1"), 0x0800),
        "drop_ttl_exceeded": ethernet(router, mac(0), udp_v4("10.0.0.2", "10.0.1.2", ttl=1), 0x0800),
    }
    with routed(2) as (engine, hosts):
        for frame in wrong.values():
            hosts[0].send(frame)
        errors = [hosts[0].recv(2000) for _ in range(2)]
        balanced(engine)
        assert [error[44:46] for error in errors] == [bytes([3, 0]), bytes([11, 0])]
        counts = next(node.counts for node in engine.node_counters() if node.name == "r")
        assert {name: counts[name] for name in wrong} == dict.fromkeys(wrong, 1)


def test_no_bytes_whatever_stop_the_engine_or_unbalance_it() -> None:
    draw = random.Random(5)
    router = bytes.fromhex("02000000ff00")
    models = [
        build("tcp", 4, bytes(3000), gso_size=500),
        build("udp", 6, bytes(3000), gso_size=500),
        ethernet(router, mac(0), udp_v4("10.0.0.2", "10.0.1.2"), 0x0800),
        ethernet(BROADCAST, mac(0), struct.pack("!HHHH", 1, 0x800, 0x604, 1) + bytes(20), 0x0806),
        ethernet(
            router, mac(0), struct.pack("!IHBB", 6 << 28, 32, 58, 255) + bytes(32) + b"\x87" + bytes(31), 0x86DD
        ),
    ]
    with routed(2) as (engine, hosts):
        sent = 0
        for _ in range(3000):
            frame = bytearray(draw.choice(models))
            frame[10:16] = router
            for _ in range(draw.randrange(8)):
                frame[draw.randrange(len(frame))] = draw.choice((0, 1, 4, 6, 58, 128, 135, 255, draw.randrange(256)))
            hosts[0].send(bytes(frame[: draw.choice((len(frame), draw.randrange(1, len(frame))))]))
            sent += 1
            for host in hosts:
                while select.select([host], [], [], 0)[0]:
                    host.recv(70_000)
        Deadline.after(20, "all frames").wait_until(lambda: engine.health().frames_read >= sent)
        engine.check()
        balanced(engine)


def small_world() -> World:
    sizes = dict.fromkeys(("frames", "lines", "ports", "highest_fd", "switches", "routers", "neighbours"), 1)
    return empty_world(macs=64, **sizes)


def test_learnt_addresses_age_and_switches_keep_theirs_apart() -> None:
    world = small_world()
    with np.errstate(over="ignore"):
        learn_mac(world, mac_key(0, 5), 3, 0)
        assert find_mac(world, mac_key(0, 5), AGEING_NS) == 3
        assert find_mac(world, mac_key(0, 5), AGEING_NS + 1) == NONE
        assert find_mac(world, mac_key(1, 5), 0) == NONE
        learn_mac(world, mac_key(0, 5), 4, AGEING_NS + 2)
        assert find_mac(world, mac_key(0, 5), AGEING_NS + 2) == 4


def test_a_full_table_forgets_the_oldest_and_finds_the_newest() -> None:
    world = small_world()
    with np.errstate(over="ignore"):
        for k in range(1000):
            learn_mac(world, mac_key(0, k), k, k)
            assert find_mac(world, mac_key(0, k), k) == k
        found = [find_mac(world, mac_key(0, k), 1000) for k in range(1000)]
    assert 32 <= sum(line != NONE for line in found) <= 64
    assert all(line in (NONE, k) for k, line in enumerate(found))


def test_what_is_spun_away_is_told_apart_from_work() -> None:
    """Frames one by one over a line of 3 ms: an engine that may not wake up before they are due spins little."""

    def spun_ns(longest_early_ns: int) -> int:
        with lan(2, LineSpec(delay_ns=3_000_000), longest_early_ns=longest_early_ns) as (engine, hosts):
            for _ in range(100):
                hosts[0].send(ethernet(mac(1), mac(0), b"frame"))
                hosts[1].recv(2000)
            balanced(engine)
            health = engine.health()
            assert health.spun_ns < health.cpu_ns
            return health.spun_ns

    assert spun_ns(0) < spun_ns(250_000)
