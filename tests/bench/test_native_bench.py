"""The farm in C against the farm in Python, in the same run: exchanges per second, CPU per exchange, memory."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from hostemu.protocol.auth import SCHEMES, derive_key
from hostemu.protocol.wire import Challenge, Hello, Information, Request, decode_datagram, encode
from hostemu.retrieval.config import Authentication, Transport
from tests.retrieval.harness import ALWAYS_OFF, ALWAYS_ON, PORT, SHARED_SECRET, farm_config, loopback_block, running
from tests.retrieval.peer import nonce

pytestmark = pytest.mark.bench

FARMS = {"Python": "terminals", "C": "terminals-c"}
TERMINALS = 200
WAVES = 10
ROUNDS = 3
MANY = 5000
MANY_ADDRESSES = "127.194.0.1"
KINDS = {Transport.TCP: socket.SOCK_STREAM, Transport.UDP: socket.SOCK_DGRAM}


@dataclass(frozen=True)
class Cost:
    """Of an exchange: the farm's CPU time, and how many there were per second with this process as the caller."""

    cpu_us: float
    per_second: float


class Callers:
    """As many peers as there are terminals, which take turns: the farm always has work of some of them."""

    def __init__(self, address: str, transport: Transport, scheme: str) -> None:
        prefix = address.removesuffix("1")
        self._addresses = [(f"{prefix}{1 + number}", PORT) for number in range(TERMINALS)]
        self._kind = KINDS[transport]
        self._scheme = SCHEMES[scheme]
        self._keys = [derive_key(SHARED_SECRET, "shared", 1 + number) for number in range(TERMINALS)]

    def wave(self, isp_nonce: bytes) -> None:
        """An exchange with every terminal."""
        socks = [socket.socket(socket.AF_INET, self._kind) for _ in self._addresses]
        for number, (sock, address) in enumerate(zip(socks, self._addresses, strict=True)):
            sock.connect(address)
            sock.send(encode(Hello(1 + number, isp_nonce)))
        for number, sock in enumerate(socks):
            challenge = decode_datagram(sock.recv(1 << 16))
            assert isinstance(challenge, Challenge)
            proof = self._scheme.prove_isp(self._keys[number], 1 + number, isp_nonce, challenge.terminal_nonce)
            sock.send(encode(Request(proof)))
        for sock in socks:
            assert isinstance(decode_datagram(sock.recv(1 << 16)), Information)
            sock.close()


def cost(folder: Path, module: str, transport: Transport, authentication: Authentication) -> Cost:
    """The cost of an exchange of 200 bytes of information."""
    folder.mkdir()
    address = loopback_block()
    config = farm_config(address, TERMINALS, transport=transport, authentication=authentication)
    callers = Callers(address, transport, authentication.value)
    with running(module, config, folder) as farm:
        farm.wait_for("ready")
        farm.start()
        callers.wave(nonce(0))
        before = farm.report()
        began_s = time.monotonic()
        for number in range(WAVES):
            callers.wave(nonce(1 + number))
        took_s = time.monotonic() - began_s
        after = farm.report()
    exchanges = after["served"] - before["served"]
    assert exchanges == WAVES * TERMINALS
    return Cost((after["cpu_ns"] - before["cpu_ns"]) / exchanges / 1e3, exchanges / took_s)


@pytest.mark.parametrize("authentication", Authentication, ids=lambda scheme: str(scheme.value))
@pytest.mark.parametrize("transport", Transport, ids=lambda transport: str(transport.value))
def test_cpu_of_an_exchange(tmp_path: Path, transport: Transport, authentication: Authentication) -> None:
    costs: dict[str, list[Cost]] = {name: [] for name in FARMS}
    for number in range(ROUNDS):
        for name, module in FARMS.items():
            costs[name].append(cost(tmp_path / f"{name}-{number}", module, transport, authentication))
    cpu_us = {name: median(one.cpu_us for one in rounds) for name, rounds in costs.items()}
    rate = {name: median(one.per_second for one in rounds) for name, rounds in costs.items()}
    told = ", ".join(f"{name} {cpu_us[name]:.0f} µs of CPU, {rate[name]:.0f}/s with one caller" for name in FARMS)
    ratio = cpu_us["Python"] / cpu_us["C"]
    print(f"\nfarm, exchange, {transport.value}, {authentication.value}: {told}; Python / C = {ratio:.1f}")
    assert ratio > 1.2


def test_memory_of_many_terminals(tmp_path: Path) -> None:
    for state, power in (("off", ALWAYS_OFF), ("on", ALWAYS_ON)):
        each_bytes = {}
        for name, module in FARMS.items():
            folder = tmp_path / f"{name}-{state}"
            folder.mkdir()
            with running(module, farm_config(MANY_ADDRESSES, MANY, power=power), folder) as farm:
                farm.wait_for("ready")
                farm.start()
                each_bytes[name] = farm.report()["maxrss_bytes"] / MANY
        told = ", ".join(f"{name} {each:.0f} bytes" for name, each in each_bytes.items())
        ratio = each_bytes["Python"] / each_bytes["C"]
        print(f"\nfarm, {MANY} terminals that are {state}: {told} each, program included; Python / C = {ratio:.0f}")
        assert ratio > 10
