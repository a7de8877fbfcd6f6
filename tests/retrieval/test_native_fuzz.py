"""Both farm programs against peers that send anything: the same answers, the same counters, and nobody falls."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from enum import IntEnum
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import Challenge, FrameReader, Hello, Information, Message, Refusal, encode
from hostemu.retrieval.config import Transport
from tests.protocol.strategies import MESSAGES
from tests.retrieval.harness import Program, farm_config, loopback_block, running
from tests.retrieval.peer import Peer, calling, nonce

unhurried = settings(deadline=None)
"""For examples that other processes answer, on a machine that may have other work."""

DEVICE = 1
FARM = ("terminals", "terminals-c-checked")
MAX_PIECES_BYTES = 16_000
"""Of what is said at once: programs read so much at a time."""

Piece = Callable[[int], bytes]
"""Bytes to be sent; the number makes the nonces of an example its own."""


class Prelude(IntEnum):
    """How far an honest exchange goes before the peer sends anything."""

    NOTHING = 0
    CHALLENGED = 1
    SERVED = 2


def always(data: bytes) -> Piece:
    """The same bytes in every example."""
    return lambda _: data


def hello(offset: int) -> Piece:
    """Offset 0: the nonce of the prelude."""
    return lambda number: encode(Hello(DEVICE, nonce(4 * number + offset)))


def garbled(message: Message, at: int, put: bytes) -> bytes:
    """A frame with some bytes replaced."""
    frame = encode(message)
    return frame[:at] + put + frame[at + len(put) :]


PIECES: st.SearchStrategy[Piece] = st.one_of(
    st.binary(min_size=1, max_size=40).map(always),
    MESSAGES.map(encode).map(always),
    st.builds(garbled, MESSAGES, st.integers(0, 40), st.binary(min_size=1, max_size=3)).map(always),
    st.integers(0, 3).map(hello),
)


@dataclass(frozen=True)
class Farms:
    """A farm of one terminal in each implementation, and their addresses."""

    kind: socket.SocketKind
    programs: list[Program]
    addresses: list[str]
    examples: Iterator[int] = field(default_factory=count)

    def agree(self, prelude: Prelude, pieces: list[Piece]) -> None:
        """Say the same to both; they must answer the same, and count the same."""
        number = next(self.examples)
        ours, theirs = (self._answers(address, number, prelude, pieces) for address in self.addresses)
        if (
            self.kind == socket.SOCK_STREAM
        ):  # the reset at the end may be faster than what Nagle's algorithm holds back
            common = min(len(ours), len(theirs))
            ours, theirs = ours[:common], theirs[:common]
        assert ours == theirs
        names = ("served", "connections", "refusals")
        counted = [[report[name] for name in names] for report in (program.report() for program in self.programs)]
        assert counted[0] == counted[1]

    def _answers(self, address: str, number: int, prelude: Prelude, pieces: list[Piece]) -> list[Any]:
        data = [piece(number) for piece in pieces]
        with calling(address, kind=self.kind) as peer:
            exchange(peer, nonce(4 * number), prelude)
            if self.kind == socket.SOCK_STREAM:
                answers = said_over_tcp(peer, b"".join(data)[:MAX_PIECES_BYTES])
            else:
                answers = said_over_udp(peer, data, address)
        return list(map(without_randomness, answers))


def exchange(peer: Peer, isp_nonce: bytes, until: Prelude) -> None:
    """An honest exchange, not always to its end."""
    if until >= Prelude.CHALLENGED:
        peer.send(Hello(DEVICE, isp_nonce))
        request = peer.request(DEVICE, isp_nonce)
        if until is Prelude.SERVED:
            peer.send(request)
            assert isinstance(peer.receive(), Information)


def said_over_tcp(peer: Peer, data: bytes) -> list[Message]:
    """What comes back when this is said at once, and then no more."""
    reader, answers = FrameReader(), []
    peer.sock.sendall(data)
    peer.sock.shutdown(socket.SHUT_WR)
    try:
        while answer := peer.sock.recv(1 << 16):
            answers += reader.feed(answer)
    except ConnectionResetError:
        pass
    reader.close()
    return answers


def said_over_udp(peer: Peer, pieces: list[bytes], address: str) -> list[Message]:
    """What comes back to these datagrams and to one more, which ends the exchange.

    The answer to another peer says that all have been handled.
    """
    answers = []
    for piece in [*pieces, b"nonsense"]:
        peer.sock.send(piece)
    with calling(address, kind=socket.SOCK_DGRAM) as last:
        last.send(Hello(DEVICE + 1, nonce(0)))
        assert last.receive() == Refusal(Reason.UNKNOWN_DEVICE)
    peer.sock.setblocking(False)
    try:
        while (answer := peer.receive()) is not None:
            answers.append(answer)
    except BlockingIOError:
        pass
    return answers


def without_randomness(message: Message) -> Any:
    """The message; of those that are made of the terminal's nonce, the lengths of their fields only."""
    match message:
        case Challenge():
            return "challenge", len(message.terminal_nonce), len(message.proof)
        case Information():
            return "information", message.sealed, len(message.proof)
        case _:
            return message


@pytest.fixture(scope="module", params=Transport, ids=lambda transport: str(transport.value))
def farms(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farms]:
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
        kind = socket.SOCK_STREAM if transport is Transport.TCP else socket.SOCK_DGRAM
        yield Farms(kind, programs, addresses)
        for program in programs:
            program.stop()
            assert program.error_text() == ""


@unhurried
@given(prelude=st.sampled_from(Prelude), pieces=st.lists(PIECES, max_size=6))
def test_both_farms_answer_and_count_the_same(farms: Farms, prelude: Prelude, pieces: list[Piece]) -> None:
    farms.agree(prelude, pieces)
