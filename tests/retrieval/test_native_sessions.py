"""A session of the program in C does what one in Python does, whatever comes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.protocol.auth import SCHEMES, Credentials, derive_key
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import NonceMemory, TerminalSession
from hostemu.protocol.wire import (
    NONCE_BYTES,
    Hello,
    Message,
    Receipt,
    Request,
    encode,
)
from hostemu.retrieval.config import (
    MAX_INFORMATION_BYTES,
)
from hostemu.retrieval.terminal import information_of
from tests.protocol.strategies import MESSAGES
from tests.retrieval.driver import Done, Driver

DEVICE_ID = 77
SECRETS = st.binary(max_size=200)
NONCES = st.integers(0, 3).map(lambda number: bytes([number]) * NONCE_BYTES)
Deed = Callable[["Pair"], None]


@dataclass
class Pair:
    """The same session in both implementations; every deed is done to both, which must do the same."""

    parts: Driver
    scheme: str
    secrets: tuple[bytes, bytes]
    information_bytes: int
    memory: NonceMemory = field(default_factory=NonceMemory)
    nonces: tuple[bytes, bytes] = (bytes(NONCE_BYTES), bytes(NONCE_BYTES))

    def __post_init__(self) -> None:
        shared, own = self.secrets
        keys = derive_key(shared, "shared", DEVICE_ID), derive_key(own, "own", DEVICE_ID)
        self.credentials = Credentials(DEVICE_ID, *keys)
        self.parts.device(self.scheme, DEVICE_ID, self.secrets, self.information_bytes)
        self.begin(bytes(NONCE_BYTES))

    def begin(self, nonce: bytes) -> None:
        """The next exchange of the same terminal."""
        information = information_of(DEVICE_ID, self.information_bytes)
        self.nonces = bytes(NONCE_BYTES), nonce
        self.session = TerminalSession(
            self.credentials, SCHEMES[self.scheme], information, self.memory, terminal_nonce=nonce
        )
        self.parts.begin(nonce)

    def receive(self, message: Message) -> None:
        """A message comes."""
        events = self.session.receive(message)
        if isinstance(message, Hello) and events:
            self.nonces = message.isp_nonce, self.nonces[1]
        assert self.parts.receive(encode(message)) == Done.of(events, self.session.state)

    def request(self) -> None:
        """The right answer to the challenge comes."""
        key = self.credentials.shared_key
        self.receive(Request(SCHEMES[self.scheme].prove_isp(key, DEVICE_ID, *self.nonces)))

    def receipt(self) -> None:
        """The ISP server says that it has the information."""
        key = self.credentials.shared_key
        self.receive(Receipt(SCHEMES[self.scheme].prove_receipt(key, *self.nonces)))

    def broken(self, reason: Reason) -> None:
        """The peer is gone."""
        assert self.parts.broken(reason) == Done.of(self.session.broken(reason), self.session.state)


def receiving(message: Message) -> Deed:
    """The deed of sending this message."""
    return lambda pair: pair.receive(message)


DEEDS: st.SearchStrategy[Deed] = st.one_of(
    NONCES.map(lambda nonce: receiving(Hello(DEVICE_ID, nonce))),
    NONCES.map(lambda nonce: receiving(Hello(DEVICE_ID, nonce))),
    NONCES.map(lambda nonce: receiving(Hello(DEVICE_ID, nonce[1:]))),
    NONCES.map(lambda nonce: receiving(Hello(DEVICE_ID, nonce + b"+"))),
    NONCES.map(lambda nonce: receiving(Hello(DEVICE_ID + 1, nonce))),
    NONCES.map(lambda nonce: lambda pair: pair.begin(nonce)),
    st.just(Pair.request),
    st.just(Pair.request),
    st.just(Pair.receipt),
    st.binary(max_size=20).map(lambda proof: receiving(Request(proof))),
    MESSAGES.map(receiving),
    st.sampled_from([Reason.RESET, Reason.TIMEOUT, Reason.TRUNCATED]).map(lambda reason: lambda p: p.broken(reason)),
)


@given(
    scheme=st.sampled_from(sorted(SCHEMES)),
    secrets=st.tuples(SECRETS, SECRETS),
    information_bytes=st.integers(0, 400),
    deeds=st.lists(DEEDS, max_size=15),
)
def test_sessions(
    parts: Driver, scheme: str, secrets: tuple[bytes, bytes], information_bytes: int, deeds: list[Deed]
) -> None:
    pair = Pair(parts, scheme, secrets, information_bytes)
    for deed in deeds:
        deed(pair)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_longest_information(parts: Driver, scheme: str) -> None:
    pair = Pair(parts, scheme, (b"shared", b"own"), MAX_INFORMATION_BYTES)
    pair.receive(Hello(DEVICE_ID, bytes(NONCE_BYTES)))
    pair.request()


def test_the_last_64_challenges_are_remembered(parts: Driver) -> None:
    pair = Pair(parts, "hmac-sha256", (b"shared", b"own"), 10)
    for number in [*range(150), *range(80, 160), 0, 100, 95, 159]:
        pair.begin(bytes(NONCE_BYTES))
        pair.receive(Hello(DEVICE_ID, number.to_bytes(NONCE_BYTES, "big")))
