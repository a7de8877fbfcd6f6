"""Simulated terminals: what a caller gets from them, segment by segment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.protocol.auth import SCHEMES, derive_key
from hostemu.protocol.events import Failed, Retrieved
from hostemu.protocol.exchange import IspExchange
from hostemu.protocol.power import Phase, PowerCycle, PowerSettings
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import NONCE_BYTES, encode
from hostemu.retrieval.config import Authentication, FarmConfig, Transport, WhenOff
from hostemu.retrieval.simulated import SimulatedFarm
from tests.retrieval.caller import ACK, FIN, NEVER_NS, PSH, RST, SETTINGS, SYN, Caller, Network, exchange

S = 1_000_000_000
CONFIG = FarmConfig(
    seed=7,
    first_index=100,
    count=50,
    first_device_id=1000,
    first_address="10.128.0.0",
    port=5000,
    transport=Transport.TCP,
    authentication=Authentication.HMAC_SHA256,
    shared_secret=b"s" * 32,
    own_secret=b"o" * 32,
    information_bytes=200,
    power=PowerSettings(3600 * S, 1, 1, False, Phase.ON),
    when_off=WhenOff.REFUSE,
)
CYCLING = replace(CONFIG, power=PowerSettings(5 * S, 30 * S, 60 * S, False, Phase.RANDOM))


def farm_of(config: FarmConfig) -> SimulatedFarm:
    return SimulatedFarm(config, "02:00:00:00:00:02", "02:01:00:00:00:02")


@pytest.fixture
def network() -> Iterator[Network]:
    with farm_of(CONFIG) as farm:
        farm.start(0)
        yield Network(farm)


def caller_of(network: Network, offset: int = 0, **more: int) -> Caller:
    return Caller(network, IPv4Address(CONFIG.first_address) + offset, CONFIG.port, **more)


def exchange_of(config: FarmConfig, offset: int, nonce: bytes = b"n" * NONCE_BYTES) -> IspExchange:
    device_id = config.first_device_id + offset
    key = derive_key(config.shared_secret, "shared", device_id)
    return IspExchange(device_id, key, SCHEMES[config.authentication.value], nonce, SETTINGS)


@pytest.mark.parametrize("authentication", list(Authentication))
@pytest.mark.parametrize("size", [0, 200, 8000])
def test_an_exchange_yields_what_the_terminal_has(authentication: Authentication, size: int) -> None:
    config = replace(CONFIG, authentication=authentication, information_bytes=size)
    with farm_of(config) as farm:
        farm.start(0)
        caller = caller_of(Network(farm), 3)
        assert caller.open(S)
        done = exchange(caller, S, exchange_of(config, 3))
        retrieved = done[-1]
        assert isinstance(retrieved, Retrieved)
        own = derive_key(config.own_secret, "own", 1003)
        information = SCHEMES[authentication.value].unseal(own, 1003, retrieved.isp_nonce, retrieved.sealed)
        assert information is not None
        assert len(information) == size
        assert information.startswith(b"device 1003: information"[:size])
        caller.send(S, caller.segment(FIN | ACK))
        assert caller.reset
        found = farm.result(2 * S)
        assert (found["served"], found["connections"], found["refusals"]) == (1, 1, {})


@given(offset=st.integers(0, 49), at_ns=st.integers(0, 500 * S), seed=st.integers(0, 1 << 40))
def test_a_terminal_answers_while_it_is_on(offset: int, at_ns: int, seed: int) -> None:
    config = replace(CYCLING, seed=seed)
    with farm_of(config) as farm:
        farm.start(10 * S)
        caller = caller_of(Network(farm), offset)
        is_on = PowerCycle(config.power, seed, config.first_index + offset).advance(at_ns)
        assert caller.open(10 * S + at_ns) == is_on
        assert caller.reset == (not is_on)


def test_who_is_off_silently_says_nothing() -> None:
    with farm_of(replace(CYCLING, when_off=WhenOff.SILENT, power=replace(CYCLING.power, phase=Phase.OFF))) as farm:
        farm.start(0)
        caller = caller_of(Network(farm))
        assert not caller.open(S)
        assert not caller.reset


@pytest.mark.parametrize("when_off", list(WhenOff))
def test_going_off_ends_what_is_unfinished(when_off: WhenOff) -> None:
    power = PowerSettings(5 * S, 30 * S, 30 * S, False, Phase.ON)
    with farm_of(replace(CONFIG, power=power, when_off=when_off)) as farm:
        network = Network(farm)
        farm.start(100 * S)
        caller = caller_of(network)
        assert caller.open(101 * S)
        assert network.next_ns == 105 * S
        said = network.say(105 * S, None)
        assert [segment.flags & RST for segment in said] == ([RST] if when_off is WhenOff.REFUSE else [])
        assert network.next_ns == NEVER_NS
        caller.send(106 * S, caller.segment(PSH | ACK, b"x"))
        assert caller.reset == (when_off is WhenOff.REFUSE)
        caller.send(136 * S, caller.segment(PSH | ACK, b"x"))  # on again, but it knows nothing of that connection
        assert caller.reset
        assert farm.result(137 * S)["refusals"] == {}


def test_who_takes_too_long_is_given_up(network: Network) -> None:
    caller = caller_of(network)
    assert caller.open(S)
    assert network.next_ns == S + CONFIG.peer_timeout_ns
    assert network.say(network.next_ns, None)[0].flags & RST
    assert network.farm.result(20 * S)["refusals"] == {"TIMEOUT": 1}


def test_what_is_lost_is_said_again(network: Network) -> None:
    caller = caller_of(network)
    first = network.say(S, caller.segment(SYN).frame())
    again = network.say(S, caller.segment(SYN).frame())
    assert first == again
    assert first[0].flags == SYN | ACK
    assert caller.open(S)
    hello = exchange_of(CONFIG, 0)
    events = hello.begin(S) + hello.opened(S)
    data = encode(events[-1].message)  # type: ignore[union-attr]
    asked = caller.segment(PSH | ACK, data)
    answers = network.say(S, asked.frame())
    assert answers[0].data
    assert network.say(S, asked.frame()) == answers
    caller.sequence += len(data)
    caller.take(answers[0])
    assert network.say(S, caller.segment(ACK).frame()) == []
    assert [segment.data for segment in network.say(S, asked.frame())] == [b""]


def test_what_comes_before_its_turn_waits_for_the_rest(network: Network) -> None:
    caller = caller_of(network)
    assert caller.open(S)
    early = caller.segment(PSH | ACK, b"later", sequence=caller.sequence + 10)
    assert [segment.acknowledged for segment in caller.send(S, early)] == [caller.sequence]


def test_rubbish_is_refused(network: Network) -> None:
    caller = caller_of(network)
    assert caller.open(S)
    caller.write(S, b"\x00\x03GET")
    assert caller.received.endswith(bytes([Reason.MALFORMED]))
    assert caller.last[-1].flags & FIN
    assert network.farm.result(S)["refusals"] == {"MALFORMED": 1}


def test_a_wrong_key_is_found(network: Network) -> None:
    caller = caller_of(network)
    assert caller.open(S)
    done = exchange(caller, S, IspExchange(1000, b"k" * 16, SCHEMES["hmac-sha256"], b"n" * NONCE_BYTES, SETTINGS))
    assert done[-1] == Failed(Reason.WRONG_KEY, 0)


def test_nobody_is_at_other_addresses_and_ports(network: Network) -> None:
    assert not caller_of(network, 50).open(S)
    stranger = Caller(network, IPv4Address(CONFIG.first_address), CONFIG.port + 1)
    assert not stranger.open(S)
    assert stranger.reset


@given(callers=st.lists(st.tuples(st.integers(0, 49), st.integers(1024, 1100), st.booleans()), max_size=300))
def test_many_callers_are_kept_apart(callers: list[tuple[int, int, bool]]) -> None:
    with farm_of(CONFIG) as farm:
        farm.start(0)
        network = Network(farm)
        open_: dict[tuple[int, int], Caller] = {}
        for offset, port, closes in callers:
            if (offset, port) not in open_:
                open_[offset, port] = caller_of(network, offset, own_port=port, sequence=port * offset)
                assert open_[offset, port].open(S)
            elif closes:
                caller = open_.pop((offset, port))
                caller.send(S, caller.segment(FIN | ACK))
                assert caller.reset
        for (offset, port), caller in open_.items():
            done = exchange(caller, S, exchange_of(CONFIG, offset, port.to_bytes(NONCE_BYTES, "big")))
            assert isinstance(done[-1], Retrieved)


@pytest.mark.parametrize(
    "config", [replace(CONFIG, transport=Transport.UDP), replace(CONFIG, first_address="fd00::1")]
)
def test_others_cannot_be_simulated(config: FarmConfig) -> None:
    with pytest.raises(InputError, match="cannot be simulated among real hosts"):
        farm_of(config)


@given(frame=st.binary(max_size=120))
def test_no_frame_does_harm(frame: bytes) -> None:
    with farm_of(CONFIG) as farm:
        farm.start(0)
        assert Network(farm).say(S, bytes(10) + frame) == []
        assert Network(farm).say(S, bytes(22) + b"\x08\x00\x45" + frame) == []
