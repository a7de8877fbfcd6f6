"""What a caller meets while a terminal is off, when it goes off, and when it comes back."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.protocol.power import Phase, PowerSettings
from hostemu.protocol.wire import Hello
from hostemu.retrieval.config import Transport, WhenOff
from tests.retrieval.harness import ALWAYS_OFF, MS, Program, S, farm_config, loopback_block, running
from tests.retrieval.peer import calling, nonce

STREAM, DATAGRAM = socket.SOCK_STREAM, socket.SOCK_DGRAM
TRANSPORT = {STREAM: Transport.TCP, DATAGRAM: Transport.UDP}
SHORT_S = 0.3
"""Long enough for any answer on loopback."""

OFF_FIRST = PowerSettings(on_ns=3600 * S, off_min_ns=100 * MS, off_max_ns=100 * MS, redraw=False, phase=Phase.OFF)
ON_THEN_OFF = PowerSettings(on_ns=S, off_min_ns=500 * MS, off_max_ns=500 * MS, redraw=False, phase=Phase.ON)

both_kinds = pytest.mark.parametrize("kind", [STREAM, DATAGRAM], ids=["tcp", "udp"])


def wait_for_power(farm: Program, *, is_on: bool) -> None:
    """Wait until the farm's one terminal is on (off)."""
    wanted = int(is_on)
    Deadline.after(10, "the terminal to switch").wait_until(lambda: farm.report()["terminals_on"] == wanted)


def greet(address: str, kind: socket.SocketKind) -> None:
    """Say hello and wait for an answer; raises what the socket raises."""
    with calling(address, kind=kind, timeout_s=SHORT_S) as peer:
        peer.send(Hello(1, nonce(1)))
        peer.receive()


@both_kinds
def test_the_host_of_a_terminal_that_is_off_refuses(terminals: str, tmp_path: Path, kind: socket.SocketKind) -> None:
    address = loopback_block()
    config = farm_config(address, 1, power=ALWAYS_OFF, transport=TRANSPORT[kind])
    with running(terminals, config, tmp_path) as farm:
        farm.wait_for("ready")
        with pytest.raises(ConnectionRefusedError):
            greet(address, kind)


@both_kinds
def test_a_silent_terminal_answers_nothing_while_it_is_off_and_serves_when_it_is_on(
    terminals: str, tmp_path: Path, kind: socket.SocketKind
) -> None:
    address = loopback_block()
    config = farm_config(address, 1, power=OFF_FIRST, transport=TRANSPORT[kind], when_off=WhenOff.SILENT)
    with running(terminals, config, tmp_path) as farm:
        farm.wait_for("ready")
        with pytest.raises(TimeoutError):
            greet(address, kind)
        farm.start()
        wait_for_power(farm, is_on=True)
        with calling(address, kind=kind) as peer:
            assert len(peer.retrieve(1, nonce(2))) > 200
        result = farm.stop()
    assert (result["served"], result["power_switches"], result["refusals"]) == (1, 1, {})


def test_going_off_resets_connections_when_the_host_refuses(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    with running(terminals, farm_config(address, 1, power=ON_THEN_OFF), tmp_path) as farm:
        farm.wait_for("ready")
        with calling(address) as peer:
            peer.send(Hello(1, nonce(1)))
            assert peer.receive() is not None
            farm.start(time.monotonic_ns() - 900 * MS)
            with pytest.raises(ConnectionResetError):
                peer.receive()


def test_going_off_silently_leaves_connections_without_an_answer_until_the_terminal_is_back(
    terminals: str, tmp_path: Path
) -> None:
    address = loopback_block()
    config = farm_config(address, 1, power=ON_THEN_OFF, when_off=WhenOff.SILENT)
    with running(terminals, config, tmp_path) as farm:
        farm.wait_for("ready")
        base = farm.open_files()
        with calling(address) as peer:
            peer.send(Hello(1, nonce(1)))
            request = peer.request(1, nonce(1))
            farm.start(time.monotonic_ns() - 900 * MS)
            wait_for_power(farm, is_on=False)
            peer.send(request)
            peer.sock.settimeout(0.1)
            with pytest.raises(TimeoutError):
                peer.receive()
            peer.sock.settimeout(10)
            with pytest.raises(ConnectionResetError):
                peer.receive()
        assert farm.open_files() == base
        assert farm.report()["served"] == 0


def test_sessions_over_udp_end_with_the_power(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    config = farm_config(address, 1, power=ON_THEN_OFF, transport=Transport.UDP, when_off=WhenOff.SILENT)
    with running(terminals, config, tmp_path) as farm:
        farm.wait_for("ready")
        with calling(address, kind=DATAGRAM) as peer:
            peer.send(Hello(1, nonce(1)))
            request = peer.request(1, nonce(1))
            farm.start(time.monotonic_ns() - 900 * MS)
            wait_for_power(farm, is_on=False)
            wait_for_power(farm, is_on=True)
            peer.send(request)
            assert peer.receive() is not None
            assert len(peer.retrieve(1, nonce(2))) > 200
        result = farm.stop()
    assert result["refusals"] == {"UNEXPECTED": 1}
    assert result["served"] == 1
