"""Both farm programs against peers that send anything: the same answers, the same counters, and nobody falls."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import NONCE_BYTES, Challenge, FrameReader, Hello, Message, Refusal, encode
from hostemu.retrieval.config import Transport
from tests.protocol.strategies import MESSAGES
from tests.retrieval.harness import Program, farm_config, loopback_block, running
from tests.retrieval.peer import calling

unhurried = settings(deadline=None)
"""For examples that other processes answer, on a machine that may have other work."""

DEVICE = 1
FARM = ("terminals", "terminals-c-checked")

NONCES = st.integers(0, 2).map(lambda number: bytes([number]) * NONCE_BYTES)
GARBLED = st.tuples(MESSAGES.map(encode), st.integers(0, 40), st.binary(max_size=3)).map(
    lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] + len(parts[2]) :]
)
PIECES = st.one_of(
    st.binary(min_size=1, max_size=40),
    MESSAGES.map(encode),
    GARBLED.filter(bool),
    NONCES.map(lambda nonce: encode(Hello(DEVICE, nonce))),
    NONCES.map(lambda nonce: encode(Hello(DEVICE, nonce))),
)
Say = Callable[[str, list[bytes]], list[Message]]


@dataclass(frozen=True)
class Farms:
    """A farm of one terminal in each implementation, and their addresses."""

    programs: list[Program]
    addresses: list[str]

    def agree(self, say: Say, pieces: list[bytes]) -> None:
        """Say the same to both; they must answer the same, and count the same."""
        ours, theirs = (list(map(without_randomness, say(address, pieces))) for address in self.addresses)
        assert ours == theirs
        told = [program.report() for program in self.programs]
        names = ("served", "connections", "refusals")
        assert len({json.dumps([report[name] for name in names]) for report in told}) == 1


def without_randomness(message: Message) -> Any:
    """The message; of a Challenge, the lengths of its fields only."""
    if isinstance(message, Challenge):
        return "challenge", len(message.terminal_nonce), len(message.proof)
    return message


@pytest.fixture(scope="module", params=Transport, ids=lambda transport: str(transport.value))
def farms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Farms, Say]]:
    transport: Transport = request.param
    folder = tmp_path_factory.mktemp("farms")
    addresses = [loopback_block() for _ in FARM]
    with ExitStack() as stack:
        programs = [
            stack.enter_context(running(module, farm_config(address, 1, transport=transport), folder))
            for module, address in zip(FARM, addresses, strict=True)
        ]
        for program in programs:
            program.wait_for("ready")
        yield Farms(programs, addresses), say_over_tcp if transport is Transport.TCP else say_over_udp
        for program in programs:
            program.stop()
            assert program.error_text() == ""


def say_over_tcp(address: str, pieces: list[bytes]) -> list[Message]:
    """What comes back from a new connection on which this is said at once, and then no more."""
    reader, answers = FrameReader(), []
    with calling(address) as peer:
        peer.sock.sendall(b"".join(pieces))
        peer.sock.shutdown(socket.SHUT_WR)
        try:
            while data := peer.sock.recv(1 << 16):
                answers += reader.feed(data)
        except ConnectionResetError:
            pass
    reader.close()
    return answers


def say_over_udp(address: str, pieces: list[bytes]) -> list[Message]:
    """What comes back to a new socket that sends these datagrams, the last of which ends its exchange.

    The answer to another peer says that all have been handled.
    """
    answers = []
    with calling(address, kind=socket.SOCK_DGRAM) as peer, calling(address, kind=socket.SOCK_DGRAM) as last:
        for piece in [*pieces, b"nonsense"]:
            peer.sock.send(piece)
        last.send(Hello(DEVICE + 1, bytes(NONCE_BYTES)))
        assert last.receive() == Refusal(Reason.UNKNOWN_DEVICE)
        peer.sock.setblocking(False)
        try:
            while (answer := peer.receive()) is not None:
                answers.append(answer)
        except BlockingIOError:
            return answers
    return answers


@unhurried
@given(pieces=st.lists(PIECES, max_size=6))
def test_both_farms_answer_and_count_the_same(farms: tuple[Farms, Say], pieces: list[bytes]) -> None:
    both, say = farms
    both.agree(say, [piece[:16_000] for piece in pieces if sum(map(len, pieces)) < 16_000])
