"""The program in C takes, and refuses, the same configurations as the one in Python, in the same words."""

from __future__ import annotations

import json
import re
from dataclasses import astuple
from ipaddress import ip_address
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.protocol.power import Phase
from hostemu.retrieval.config import (
    MAX_DURATION_NS,
    MAX_NUMBER,
    Authentication,
    FarmConfig,
    Home,
    Transport,
    WhenOff,
)
from tests.retrieval.driver import PHASES, Driver
from tests.retrieval.harness import farm_config

SECRETS = st.binary(max_size=200)
NUMBERS = st.integers(0, MAX_NUMBER)
DURATIONS = st.integers(1, MAX_DURATION_NS) | st.integers(1, 10**11)
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


@given(st.lists(KEYS, max_size=3))
def test_configurations_with_keys_missing(parts: Driver, paths: list[tuple[str, ...]]) -> None:
    tree = json.loads(json.dumps(FARM))
    for path in paths:
        node = tree
        for key in path[:-1]:
            node = node.get(key, {})
        node.pop(path[-1], None)
    assert same(parts.config(json.dumps(tree))) == same(told(json.dumps(tree)))


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
