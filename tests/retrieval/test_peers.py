"""What terminals do about peers that lie, babble, stop half-way or are slow."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.protocol.auth import derive_key
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import MAX_FRAME_BYTES, Hello, Information, Refusal, Start, encode
from hostemu.retrieval.config import Transport
from hostemu.retrieval.terminal import information_of
from hostemu.retrieval.terminal_tcp import MAX_CONNECTIONS
from hostemu.retrieval.terminal_udp import MAX_SESSIONS
from tests.retrieval.harness import MS, OWN_SECRET, Program, farm_config, loopback_block, running
from tests.retrieval.peer import SCHEME, Peer, calling, nonce

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
DEVICE = 1

Attack = Callable[[Peer], None]


def wrong_key(peer: Peer) -> None:
    peer.send(Hello(DEVICE, nonce(1)))
    peer.send(peer.request(DEVICE, nonce(1), secret=b"guessed"))


def replay(peer: Peer) -> None:
    """The nonce of the exchange that every test makes first."""
    peer.send(Hello(DEVICE, nonce(0)))


def garbage(peer: Peer) -> None:
    peer.sock.sendall(b"\x00\x10GET / HTTP/1.1\r\n\r\n")


def oversized(peer: Peer) -> None:
    peer.sock.sendall((MAX_FRAME_BYTES + 1).to_bytes(2, "big") + b"\x01\x01")


def half_message(peer: Peer) -> None:
    peer.sock.sendall(encode(Hello(DEVICE, nonce(2)))[:9])
    if peer.sock.type == STREAM:
        peer.sock.shutdown(socket.SHUT_WR)


def another_device(peer: Peer) -> None:
    peer.send(Hello(DEVICE + 1, nonce(3)))


def unexpected(peer: Peer) -> None:
    peer.send(Start(1))


ATTACKS: dict[Attack, Reason] = {
    wrong_key: Reason.WRONG_KEY,
    replay: Reason.REPLAY,
    garbage: Reason.MALFORMED,
    oversized: Reason.OVERSIZED,
    half_message: Reason.TRUNCATED,
    another_device: Reason.UNKNOWN_DEVICE,
    unexpected: Reason.UNEXPECTED,
}


def assert_serves(address: str, kind: socket.SocketKind, number: int) -> None:
    """A proper exchange with terminal 1 succeeds."""
    with calling(address, kind=kind) as peer:
        sealed = peer.retrieve(DEVICE, nonce(number))
    own_key = derive_key(OWN_SECRET, "own", DEVICE)
    assert SCHEME.unseal(own_key, DEVICE, nonce(number), sealed) == information_of(DEVICE, 200)


@pytest.mark.parametrize("kind", [STREAM, DATAGRAM], ids=["tcp", "udp"])
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: str(attack.__name__))
def test_an_attack_is_refused_by_name_and_disturbs_no_exchange_under_way(
    terminals: str, tmp_path: Path, attack: Attack, kind: socket.SocketKind
) -> None:
    reason = ATTACKS[attack]
    address = loopback_block()
    transport = Transport.TCP if kind == STREAM else Transport.UDP
    with running(terminals, farm_config(address, 1, transport=transport), tmp_path) as farm:
        farm.wait_for("ready")
        assert_serves(address, kind, 0)
        with calling(address, kind=kind) as honest, calling(address, kind=kind) as attacker:
            honest.send(Hello(DEVICE, nonce(100)))
            attack(attacker)
            assert attacker.receive() == Refusal(reason)
            honest.send(honest.request(DEVICE, nonce(100)))
            assert honest.receive() is not None
        assert_serves(address, kind, 101)
        result = farm.stop()
    assert result["refusals"] == {reason.name: 1}
    assert result["served"] == 3


def wait_for_files(farm: Program, base: int) -> None:
    """Wait until the program has as many descriptors open as before."""
    deadline = Deadline.after(10, f"{base} open descriptors; it has {farm.open_files()}")
    deadline.wait_until(lambda: farm.open_files() == base)


def test_no_descriptor_is_left_after_attacks_and_exchanges(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    with running(terminals, farm_config(address, 1, peer_timeout_ns=300 * MS), tmp_path) as farm:
        farm.wait_for("ready")
        base = farm.open_files()
        assert_serves(address, STREAM, 0)
        for number, attack in enumerate(ATTACKS):
            with calling(address) as peer:
                attack(peer)
                assert isinstance(peer.receive(), Refusal)
            assert_serves(address, STREAM, 200 + number)
        wait_for_files(farm, base)
        assert farm.stop()["served"] == len(ATTACKS) + 1


def test_a_slow_peer_is_dropped_after_its_time_while_others_are_served(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    with running(terminals, farm_config(address, 1, peer_timeout_ns=300 * MS), tmp_path) as farm:
        farm.wait_for("ready")
        with calling(address) as silent, calling(address) as slow:
            slow.sock.sendall(encode(Hello(DEVICE, nonce(1)))[:5])
            assert_serves(address, STREAM, 2)
            for peer in (silent, slow):
                assert peer.receive() == Refusal(Reason.TIMEOUT)
                assert peer.is_dropped()
        assert farm.stop()["refusals"] == {"TIMEOUT": 2}


def test_an_unfinished_exchange_over_udp_is_forgotten_and_counted(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    config = farm_config(address, 1, transport=Transport.UDP, peer_timeout_ns=200 * MS)
    with running(terminals, config, tmp_path) as farm:
        farm.wait_for("ready")
        farm.start()
        with calling(address, kind=DATAGRAM) as peer:
            peer.send(Hello(DEVICE, nonce(1)))
            assert peer.receive() is not None
            Deadline.after(10, "the time-out").wait_until(lambda: farm.report()["refusals"] == {"TIMEOUT": 1})


def test_a_lost_answer_over_udp_is_repeated_and_served_once(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    with running(terminals, farm_config(address, 1, transport=Transport.UDP), tmp_path) as farm:
        farm.wait_for("ready")
        with calling(address, kind=DATAGRAM) as peer:
            peer.send(Hello(DEVICE, nonce(1)))
            challenge = peer.receive()
            peer.send(Hello(DEVICE, nonce(1)))
            request = peer.request(DEVICE, nonce(1))
            peer.send(request)
            information = peer.receive()
            peer.send(request)
            assert peer.receive() == information
            assert challenge is not None
        assert farm.stop()["served"] == 1


def test_the_next_exchange_from_the_same_udp_port_is_served(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    with running(terminals, farm_config(address, 1, transport=Transport.UDP), tmp_path) as farm:
        farm.wait_for("ready")
        with calling(address, kind=DATAGRAM) as peer:
            assert peer.retrieve(DEVICE, nonce(1)) != peer.retrieve(DEVICE, nonce(2))
        assert farm.stop()["served"] == 2


def test_more_connections_than_a_terminal_holds_cost_only_the_oldest(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    with running(terminals, farm_config(address, 1), tmp_path) as farm:
        farm.wait_for("ready")
        with calling(address) as oldest, calling(address) as second, ExitStack() as idle:
            for _ in range(MAX_CONNECTIONS - 1):
                idle.enter_context(calling(address))
            assert oldest.receive() == Refusal(Reason.LOCAL)
            assert len(second.retrieve(DEVICE, nonce(1))) > 200
        result = farm.stop()
    assert result["refusals"]["LOCAL"] == 1
    assert result["connections"] == MAX_CONNECTIONS + 1


def is_turned_away(address: str) -> bool:
    """Whether a caller is reset, be it while it connects."""
    try:
        with calling(address) as peer:
            return peer.is_dropped()
    except ConnectionResetError:
        return True


def test_callers_for_whom_there_is_no_descriptor_are_reset_and_later_ones_served(
    terminals: str, tmp_path: Path
) -> None:
    address = loopback_block()
    with running(terminals, farm_config(address, 1), tmp_path) as farm:
        farm.wait_for("ready")
        base = farm.open_files()
        resource.prlimit(farm.pid, resource.RLIMIT_NOFILE, (base + 2, base + 2))
        with calling(address) as first, calling(address):
            assert [is_turned_away(address) for _ in range(3)] == [True] * 3
            assert len(first.retrieve(DEVICE, nonce(1))) > 200
        wait_for_files(farm, base)
        assert_serves(address, STREAM, 2)
        result = farm.stop()
    assert result["refusals"] == {"LOCAL": 3, "RESET": 1}


def test_a_peer_that_takes_no_answers_is_given_up_before_they_fill_the_memory(terminals: str, tmp_path: Path) -> None:
    """2700 repeated requests fit what is read at a time, and would be answered with 40 MB."""
    address = loopback_block()
    with running(terminals, farm_config(address, 1, information_bytes=15_000), tmp_path) as farm:
        farm.wait_for("ready")
        base = farm.open_files()
        with calling(address, buffer_bytes=4096) as greedy:
            greedy.send(Hello(DEVICE, nonce(1)))
            greedy.send(greedy.request(DEVICE, nonce(1)))
            Deadline.after(10, "the information").wait_until(lambda: farm.report()["served"] == 1)
            before_bytes = farm.report()["maxrss_bytes"]
            greedy.sock.sendall(b"\x00\x04\x01\x03\x00\x00" * 2700)
            wait_for_files(farm, base)
            assert farm.report()["maxrss_bytes"] < before_bytes + (4 << 20)
        result = farm.stop()
    assert (result["served"], result["refusals"]) == (1, {})


def test_more_udp_peers_than_a_terminal_remembers_cost_only_the_oldest(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    with running(terminals, farm_config(address, 1, transport=Transport.UDP), tmp_path) as farm:
        farm.wait_for("ready")
        with ExitStack() as stack:
            peers = [stack.enter_context(calling(address, kind=DATAGRAM)) for _ in range(MAX_SESSIONS + 1)]
            requests = []
            for number, peer in enumerate(peers):
                peer.send(Hello(DEVICE, nonce(number)))
                requests.append(peer.request(DEVICE, nonce(number)))
            for peer, request in zip(peers, requests, strict=True):
                peer.send(request)
            answers = [peer.receive() for peer in peers]
        result = farm.stop()
    # The newest peer costs the oldest its exchange, and the oldest, asking on, the next one's.
    assert answers[:2] == [Refusal(Reason.UNEXPECTED)] * 2
    assert all(isinstance(answer, Information) for answer in answers[2:])
    assert result["connections"] == MAX_SESSIONS + 3
    assert result["refusals"] == {"LOCAL": 2, "UNEXPECTED": 2}
