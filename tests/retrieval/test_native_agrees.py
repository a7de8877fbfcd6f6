"""Whatever happens to them, the parts of the program in C do what those in Python do."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from dataclasses import astuple, dataclass, field
from ipaddress import ip_address
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.base.streams import draw_u64, draw_uniform
from hostemu.protocol.auth import SCHEMES, Credentials, derive_key
from hostemu.protocol.power import Phase, PowerCycle, PowerSettings
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import NonceMemory, TerminalSession
from hostemu.protocol.wire import (
    NONCE_BYTES,
    FrameReader,
    Hello,
    Message,
    Receipt,
    Request,
    WireError,
    decode_datagram,
    encode,
)
from hostemu.retrieval.config import (
    MAX_DURATION_NS,
    MAX_INFORMATION_BYTES,
    MAX_NUMBER,
    Authentication,
    FarmConfig,
    Home,
    Transport,
    WhenOff,
)
from hostemu.retrieval.reactor import Lateness
from hostemu.retrieval.terminal import information_of
from tests.protocol.strategies import MESSAGES
from tests.retrieval.driver import PHASES, Done, Driver, Seen
from tests.retrieval.harness import farm_config

unhurried = settings(deadline=None)
"""For examples that another process answers, on a machine that may have other work."""

U64 = st.integers(0, 2**64 - 1)
SECRETS = st.binary(max_size=200)
NUMBERS = st.integers(0, MAX_NUMBER)
DURATIONS = st.integers(1, MAX_DURATION_NS) | st.integers(1, 10**11)


@unhurried
@given(key=SECRETS, text=st.binary(max_size=300))
def test_hashes(parts: Driver, key: bytes, text: bytes) -> None:
    assert parts.sha256(text) == hashlib.sha256(text).digest()
    assert parts.hmac(key, text) == hmac.digest(key, text, "sha256")


@unhurried
@given(text=st.binary(max_size=128))
def test_short_blake2b(parts: Driver, text: bytes) -> None:
    digest = hashlib.blake2b(text, digest_size=8).digest()
    assert parts.blake2b(text) == int.from_bytes(digest, "little")


@unhurried
@given(secret=SECRETS, role=st.sampled_from(["shared", "own"]), device_id=U64)
def test_keys(parts: Driver, secret: bytes, role: str, device_id: int) -> None:
    assert parts.key(secret, role, device_id) == derive_key(secret, role, device_id)


@unhurried
@given(key=U64, counter=U64, low=DURATIONS, width=st.integers(0, MAX_DURATION_NS))
def test_draws(parts: Driver, key: int, counter: int, low: int, width: int) -> None:
    uniform = draw_uniform(key, counter)
    between = low + int(uniform * (width + 1))
    assert parts.draw(key, counter, low, low + width) == (draw_u64(key, counter), uniform, between)


@unhurried
@given(device_id=st.integers(0, MAX_NUMBER), size=st.integers(0, 300) | st.just(MAX_INFORMATION_BYTES))
def test_information(parts: Driver, device_id: int, size: int) -> None:
    assert parts.information(device_id, size) == information_of(device_id, size)


@unhurried
@given(st.floats(0, 1), st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 300), max_size=60))
def test_lateness(parts: Driver, share: float, lags_ns: list[int]) -> None:
    lateness = Lateness()
    for lag_ns in lags_ns:
        lateness.add(lag_ns)
    assert parts.lateness(share, lags_ns) == (lateness.count, lateness.max_ns, lateness.quantile_ns(share))


@unhurried
@given(st.lists(st.tuples(st.integers(0, 30), st.none() | st.integers(0, 40)), max_size=120))
def test_timers_go_off_in_order(parts: Driver, deeds: list[tuple[int, int | None]]) -> None:
    """That of their time; of those that are due at the same time, the one that was set first goes first."""
    due: dict[int, tuple[int, int]] = {}
    for at, (number, due_ns) in enumerate(deeds):
        due.pop(number, None)
        if due_ns is not None:
            due[number] = (due_ns, at)
    assert parts.timers(deeds) == sorted(due, key=due.__getitem__)


@st.composite
def power_settings(draw: st.DrawFn) -> PowerSettings:
    """Every power cycle that a farm may have."""
    off_min_ns, off_max_ns = sorted([draw(DURATIONS), draw(DURATIONS)])
    return PowerSettings(draw(DURATIONS), off_min_ns, off_max_ns, draw(st.booleans()), draw(st.sampled_from(Phase)))


@unhurried
@given(
    settings=power_settings(),
    seed=NUMBERS,
    index=NUMBERS,
    steps=st.lists(st.floats(0, 3), max_size=20),
)
def test_power_cycles(parts: Driver, settings: PowerSettings, seed: int, index: int, steps: list[float]) -> None:
    """Each step is a part of a cycle, so that any cycle is gone through in a few of them."""
    cycle_ns = settings.on_ns + settings.off_min_ns
    times_ns = [time_ns for time_ns in accumulate(int(step * cycle_ns) for step in steps) if time_ns < 2**62]
    power = PowerCycle(settings, seed, index)
    expected = [(power.is_on, power.next_change_ns)]
    for time_ns in times_ns:
        expected.append((power.advance(time_ns), power.next_change_ns))
    assert parts.power(seed, index, settings, times_ns) == expected


CHUNKS = st.one_of(
    st.binary(max_size=60),
    MESSAGES.map(encode),
    st.tuples(MESSAGES.map(encode), st.integers(0, 40)).map(lambda cut: cut[0][: cut[1]]),
    st.tuples(MESSAGES.map(encode), st.integers(0, 40)).map(lambda cut: cut[0][cut[1] :]),
)


def seen(data: bytes) -> Seen | Reason:
    """What Python reads in a datagram."""
    try:
        return Seen.of(decode_datagram(data))
    except WireError as error:
        return error.reason


@unhurried
@given(CHUNKS)
def test_datagrams(parts: Driver, data: bytes) -> None:
    assert parts.datagram(data) == seen(data)


@unhurried
@given(message=MESSAGES, at=st.integers(0, 64), cut=st.integers(0, 8), put=st.binary(max_size=8))
def test_garbled_datagrams(parts: Driver, message: Message, at: int, cut: int, put: bytes) -> None:
    frame = encode(message)
    garbled = frame[:at] + put + frame[at + cut :]
    assert parts.datagram(garbled) == seen(garbled)


@unhurried
@given(st.lists(CHUNKS.filter(bool), max_size=12))
def test_streams(parts: Driver, chunks: list[bytes]) -> None:
    reader = FrameReader()
    expected: list[list[Seen] | Reason] = []
    for chunk in chunks:
        try:
            expected.append([Seen.of(message) for message in reader.feed(chunk)])
        except WireError as error:
            expected.append(error.reason)
    told, left = parts.stream(chunks)
    assert told == expected
    try:
        reader.close()
    except WireError:
        assert left > 0
    else:
        assert left == 0


DEVICE_ID = 77
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


@unhurried
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


ADDRESSES = st.ip_addresses().map(str) | st.sampled_from(
    [
        "127.0.0.1",
        "255.255.255.255",
        "1.2.3",
        "1.2.3.4.5",
        "01.2.3.4",
        "1.2.3.256",
        " 1.2.3.4",
        "1.2.3.4%lo",
        "::",
        "::1",
        "::1%lo",
        "::1%",
        "::1%a%b",
        "1::2::3",
        "::ffff:1.2.3.4",
        "::12345",
        "1:2:3:4:5:6:7:8:9",
        "[::1]",
        "",
        "x" * 100,
        "1.2.3.4\0",
    ]
)
TEXTS = st.text(st.characters(max_codepoint=127) | st.sampled_from("éß€😀"), max_size=5)
"""Python's repr hides what is not printable, of which the program in C knows only ASCII's."""

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | TEXTS | st.sampled_from([0.5, 1e300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)
HEXADECIMAL = SECRETS.map(bytes.hex) | st.text("0123456789abcdefABCDEFg \n", max_size=10)
LIKELY = st.one_of(
    NUMBERS,
    DURATIONS,
    ADDRESSES,
    HEXADECIMAL,
    st.sampled_from([value.value for kind in (Transport, Authentication, WhenOff, Phase) for value in kind]),
    st.sampled_from([0, -1, 1, 65535, 65536, 15000, 15001, 2**63 - 1, 2**63, 2**60, 2**60 + 1]),
    st.booleans(),
)
HOME = Home("10.0.0.6", 20000, 1500, 10**9, 2 * 10**9, 0, 60)
FARM: dict[str, Any] = json.loads(farm_config("10.128.0.0", 100, home=HOME).to_json())
KEYS = st.sampled_from(
    [(key,) for key in (*FARM, "colour", "")]
    + [(table, key) for table in ("power", "home") for key in (*FARM[table], "x")]
)


def told(text: str) -> list[str] | str:
    """What Python makes of a configuration, in the form of the driver's answer."""
    try:
        config = FarmConfig.from_json(text, "some.json")
    except InputError as error:
        return f"InputError: {error}"
    power = config.power
    values = (
        *(config.seed, config.first_index, config.count, config.first_device_id),
        *(ip_address(config.first_address.partition("%")[0]), config.port, config.transport.value),
        *(config.authentication.value, config.information_bytes),
        *(power.on_ns, power.off_min_ns, power.off_max_ns, int(power.redraw), PHASES.index(power.phase)),
        *(int(config.when_off is WhenOff.SILENT), config.peer_timeout_ns),
        *_told_home(config.home),
    )
    return [str(value) for value in values]


def _told_home(home: Home | None) -> tuple[object, ...]:
    if home is None:
        return ("-",)
    return (ip_address(home.address.partition("%")[0]), *astuple(home)[1:])


def same(answer: list[str] | str) -> list[str] | str:
    """Without what differs: the spelling of ::ffff:1.2.3.4 and that of floats, which are wrong wherever they are."""
    if isinstance(answer, str):
        return re.sub(r"-?\d+(\.\d+([eE][-+]?\d+)?|[eE][-+]?\d+)", lambda number: repr(float(number[0])), answer)
    homes = [*map(str, map(ip_address, answer[16:17]))] if len(answer) > 17 else answer[16:17]
    return [*answer[:4], str(ip_address(answer[4])), *answer[5:16], *homes, *answer[17:]]


@unhurried
@given(st.lists(st.tuples(KEYS, LIKELY | JSON), max_size=3), st.sampled_from([None, 0, 3]), st.booleans())
@example([(("power",), None)], None, True)
@example([(("home",), None)], None, True)
@example([(("home",), None), (("transport",), "udp")], None, True)
@example([(("transport",), "udp")], None, True)
@example([(("home", "list_size"), 1), (("first_index",), 45500)], None, True)
@example([(("first_address",), "255.255.255.200")], None, True)
def test_configurations(
    parts: Driver, changes: list[tuple[tuple[str, ...], Any]], indent: int | None, escapes: bool
) -> None:
    tree = json.loads(json.dumps(FARM))
    for path, value in changes:
        node = tree
        for key in path[:-1]:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node[path[-1]] = value
    text = json.dumps(tree, indent=indent, ensure_ascii=escapes)
    assert same(parts.config(text)) == same(told(text))


@unhurried
@given(st.lists(KEYS, max_size=3))
def test_configurations_with_keys_missing(parts: Driver, paths: list[tuple[str, ...]]) -> None:
    tree = json.loads(json.dumps(FARM))
    for path in paths:
        node = tree
        for key in path[:-1]:
            node = node.get(key, {})
        node.pop(path[-1], None)
    assert same(parts.config(json.dumps(tree))) == same(told(json.dumps(tree)))


@unhurried
@given(
    at=st.integers(0, len(json.dumps(FARM))),
    cut=st.integers(0, 3),
    put=st.text('{}[]",:\\u0 \n1e.-tfnx\x00\x1fé', max_size=3),
)
def test_texts_that_are_hardly_json(parts: Driver, at: int, cut: int, put: str) -> None:
    """Where both say that it is not JSON, they may say differently where it stops to be."""
    text = json.dumps(FARM)
    text = text[:at] + put + text[at + cut :]
    ours, theirs = same(parts.config(text)), same(told(text))
    if isinstance(theirs, str) and theirs.startswith("InputError: some.json: not JSON"):
        assert str(ours).startswith("InputError: some.json: not JSON")
    else:
        assert ours == theirs


def test_of_a_key_that_comes_twice_the_last_value_counts(parts: Driver) -> None:
    text = json.dumps(FARM)[:-1] + ', "port": 0, "port": 6000}'
    assert parts.config(text) == told(text)
