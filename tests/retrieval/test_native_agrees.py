"""Whatever happens to them, the parts of the program in C do what those in Python do."""

from __future__ import annotations

import hashlib
import hmac
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.streams import draw_u64, draw_uniform
from hostemu.protocol.auth import derive_key
from hostemu.protocol.power import Phase, PowerCycle, PowerSettings
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import (
    FrameReader,
    Message,
    WireError,
    decode_datagram,
    encode,
)
from hostemu.retrieval.config import (
    MAX_DURATION_NS,
    MAX_INFORMATION_BYTES,
    MAX_NUMBER,
)
from hostemu.retrieval.reactor import Lateness
from hostemu.retrieval.terminal import information_of
from tests.protocol.strategies import MESSAGES
from tests.retrieval.driver import Driver, Seen

U64 = st.integers(0, 2**64 - 1)
SECRETS = st.binary(max_size=200)
NUMBERS = st.integers(0, MAX_NUMBER)
DURATIONS = st.integers(1, MAX_DURATION_NS) | st.integers(1, 10**11)


@given(key=SECRETS, text=st.binary(max_size=300))
def test_hashes(parts: Driver, key: bytes, text: bytes) -> None:
    assert parts.sha256(text) == hashlib.sha256(text).digest()
    assert parts.hmac(key, text) == hmac.digest(key, text, "sha256")


@given(text=st.binary(max_size=128))
def test_short_blake2b(parts: Driver, text: bytes) -> None:
    digest = hashlib.blake2b(text, digest_size=8).digest()
    assert parts.blake2b(text) == int.from_bytes(digest, "little")


@given(secret=SECRETS, role=st.sampled_from(["shared", "own"]), device_id=U64)
def test_keys(parts: Driver, secret: bytes, role: str, device_id: int) -> None:
    assert parts.key(secret, role, device_id) == derive_key(secret, role, device_id)


@given(key=U64, counter=U64, low=DURATIONS, width=st.integers(0, MAX_DURATION_NS))
def test_draws(parts: Driver, key: int, counter: int, low: int, width: int) -> None:
    uniform = draw_uniform(key, counter)
    between = low + int(uniform * (width + 1))
    assert parts.draw(key, counter, low, low + width) == (draw_u64(key, counter), uniform, between)


@given(device_id=st.integers(0, MAX_NUMBER), size=st.integers(0, 300) | st.just(MAX_INFORMATION_BYTES))
def test_information(parts: Driver, device_id: int, size: int) -> None:
    assert parts.information(device_id, size) == information_of(device_id, size)


@given(st.floats(0, 1), st.lists(st.integers(0, 2**63 - 1) | st.integers(0, 300), max_size=60))
def test_lateness(parts: Driver, share: float, lags_ns: list[int]) -> None:
    lateness = Lateness()
    for lag_ns in lags_ns:
        lateness.add(lag_ns)
    assert parts.lateness(share, lags_ns) == (lateness.count, lateness.max_ns, lateness.quantile_ns(share))


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


@given(CHUNKS)
def test_datagrams(parts: Driver, data: bytes) -> None:
    assert parts.datagram(data) == seen(data)


@given(message=MESSAGES, at=st.integers(0, 64), cut=st.integers(0, 8), put=st.binary(max_size=8))
def test_garbled_datagrams(parts: Driver, message: Message, at: int, cut: int, put: bytes) -> None:
    frame = encode(message)
    garbled = frame[:at] + put + frame[at + cut :]
    assert parts.datagram(garbled) == seen(garbled)


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
