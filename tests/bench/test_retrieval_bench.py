"""CPU time of the programs per attempt and per exchange, against a bare Python socket loop of the same run."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from hostemu.protocol.retriever import RetryPolicy
from hostemu.retrieval.config import Authentication, Transport
from tests.retrieval.harness import ALWAYS_OFF, MS, PORT, chain, farm_config, isp_config, loopback_block

pytestmark = pytest.mark.bench

TERMINALS = 200
ATTEMPTS = 20
BARE_CALLS = 3000
ROUNDS = 3
BARE_MESSAGE = bytes(100)


@dataclass(frozen=True)
class Cost:
    """CPU time in µs: of an ISP server, a farm and the center, per attempt or exchange."""

    isp_us: float
    farm_us: float
    center_us: float
    per_second: float


def bare_cpu_us(connect: Callable[[], None]) -> float:
    """CPU time of this process per call; the best of some rounds, for other work can only add to it."""
    rounds = []
    for _ in range(ROUNDS):
        began_ns = time.process_time_ns()
        for _ in range(BARE_CALLS):
            connect()
        rounds.append((time.process_time_ns() - began_ns) / BARE_CALLS / 1e3)
    return min(rounds)


def bare_refused() -> float:
    """socket, connect to a closed port, close."""
    address = (loopback_block(), PORT)

    def connect() -> None:
        sock = socket.socket()
        assert sock.connect_ex(address) != 0
        sock.close()

    return bare_cpu_us(connect)


def bare_exchange() -> float:
    """Connect, accept, two messages each way, close: both ends in one process."""
    with closing(socket.create_server((loopback_block(), PORT))) as listener:
        address = listener.getsockname()

        def exchange() -> None:
            with socket.create_connection(address) as client:
                server, _ = listener.accept()
                with server:
                    for sender, receiver in (client, server), (server, client), (client, server), (server, client):
                        sender.send(BARE_MESSAGE)
                        receiver.recv(1000)

        return bare_cpu_us(exchange)


def costs(folder: Path, attempts: int, **how: object) -> Iterator[Cost]:
    """Play the same small run some times."""
    for number in range(ROUNDS):
        own = folder / str(number)
        own.mkdir()
        retry = RetryPolicy(interval_ns=MS, max_attempts=ATTEMPTS, keeps_slot=True)
        settings = {key: value for key, value in how.items() if key != "power"}
        farm = farm_config(loopback_block(), TERMINALS, **how)
        with chain(own, farm, isp_config(retry=retry, concurrency=TERMINALS, **settings)) as run:
            run.start()
            done = run.center.wait_for("done")
            isp, farm_result, center = run.isps[0].stop(), run.farm.stop(), run.center.stop()
        assert isp["attempts"] == attempts
        cpu_us = [result["cpu_ns"] / attempts / 1e3 for result in (isp, farm_result, center)]
        yield Cost(*cpu_us, attempts / (done["makespan_ns"] / 1e9))


def show(title: str, rounds: list[Cost], bare_us: float) -> None:
    """Print medians."""
    middle = [median(getattr(cost, name) for cost in rounds) for name in ("isp_us", "farm_us", "center_us")]
    rate = median(cost.per_second for cost in rounds)
    parts = ", ".join(f"{who} {us:.0f} µs" for who, us in zip(("ISP server", "farm", "center"), middle, strict=True))
    ratio = (middle[0] + middle[1]) / bare_us
    print(
        f"\n{title}: {parts}; {rate:.0f}/s; bare sockets {bare_us:.0f} µs; (ISP server + farm) / bare = {ratio:.1f}"
    )


def test_cpu_of_a_refused_attempt(tmp_path: Path) -> None:
    rounds = list(costs(tmp_path, TERMINALS * ATTEMPTS, power=ALWAYS_OFF))
    bare_us = bare_refused()
    show("refused attempt, tcp", rounds, bare_us)
    assert median(cost.isp_us for cost in rounds) < 15 * bare_us


@pytest.mark.parametrize("authentication", Authentication, ids=lambda scheme: str(scheme.value))
@pytest.mark.parametrize("transport", Transport, ids=lambda transport: str(transport.value))
def test_cpu_of_an_exchange(tmp_path: Path, transport: Transport, authentication: Authentication) -> None:
    rounds = list(costs(tmp_path, TERMINALS, transport=transport, authentication=authentication))
    bare_us = bare_exchange()
    show(f"exchange, {transport.value}, {authentication.value}", rounds, bare_us)
    assert median(cost.isp_us + cost.farm_us for cost in rounds) < 15 * bare_us
