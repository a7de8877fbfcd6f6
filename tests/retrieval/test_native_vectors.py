"""The protocol's known answers against the program in C."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hostemu.protocol.power import Phase, PowerSettings
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import Receipt, decode_datagram, encode
from tests.protocol.vectors import FILE
from tests.retrieval.driver import Driver, Seen

VECTORS: dict[str, Any] = json.loads(FILE.read_text())


@pytest.mark.parametrize("vector", VECTORS["messages"], ids=lambda vector: vector["type"])
def test_a_known_frame_is_its_message(parts: Driver, vector: dict[str, Any]) -> None:
    frame = bytes.fromhex(vector["frame"])
    assert parts.datagram(frame) == Seen.of(decode_datagram(frame))


@pytest.mark.parametrize("vector", VECTORS["no_messages"], ids=lambda vector: vector["datagram"] or "empty")
def test_a_known_datagram_that_is_no_message_is_refused_for_its_reason(parts: Driver, vector: dict[str, Any]) -> None:
    assert parts.datagram(bytes.fromhex(vector["datagram"])) == Reason[vector["reason"]]


def test_the_messages_of_a_terminal_are_their_known_frames(parts: Driver) -> None:
    written = {
        "CALL": lambda fields: parts.call(fields["device_id"], fields["attempt"]),
        "REFUSAL": lambda fields: parts.refusal(Reason[fields["reason"]]),
        "CHALLENGE": lambda fields: parts.challenge(*_bytes(fields, "terminal_nonce", "proof")),
        "INFORMATION": lambda fields: parts.sealed(*_bytes(fields, "sealed", "proof")),
    }
    vectors = [vector for vector in VECTORS["messages"] if vector["type"] in written]
    assert {vector["type"] for vector in vectors} == set(written)
    for vector in vectors:
        assert written[vector["type"]](vector["fields"]).hex() == vector["frame"]


def test_known_keys(parts: Driver) -> None:
    for vector in VECTORS["keys"]:
        (secret,) = _bytes(vector, "secret")
        assert parts.key(secret, vector["role"], vector["device_id"]).hex() == vector["key"]


@pytest.mark.parametrize("vector", VECTORS["exchanges"], ids=lambda vector: vector["scheme"])
def test_a_known_exchange_has_the_same_proofs_and_seal(parts: Driver, vector: dict[str, Any]) -> None:
    shared_key, own_key, isp, terminal, information = _bytes(
        vector, "shared_key", "own_key", "isp_nonce", "terminal_nonce", "information"
    )
    _, challenge, request, answer = (step["fields"] for step in vector["conversation"])
    made = parts.exchange(vector["scheme"], vector["device_id"], (shared_key, own_key), (isp, terminal), information)
    receipt = encode(Receipt(parts.receipt(vector["scheme"], shared_key, (isp, terminal))))
    assert receipt.hex() == vector["receipt"]
    assert [part.hex() for part in made] == [challenge["proof"], request["proof"], answer["sealed"], answer["proof"]]


def test_known_draws(parts: Driver) -> None:
    for vector in VECTORS["draws"]:
        name = "\x1f".join(map(str, (vector["seed"], *vector["name"])))
        assert parts.blake2b(name.encode()) == vector["key"]
        drawn = parts.draw(vector["key"], vector["counter"], vector["low"], vector["high"])
        assert drawn == (vector["u64"], vector["uniform"], vector["between"])


def test_known_power_cycles(parts: Driver) -> None:
    for vector in VECTORS["power_cycles"]:
        on_ns, off_min_ns, off_max_ns = (vector[name] for name in ("on_ns", "off_min_ns", "off_max_ns"))
        settings = PowerSettings(on_ns, off_min_ns, off_max_ns, vector["redraw"], Phase(vector["phase"]))
        states = [(state["is_on"], state["until_ns"]) for state in vector["states"]]
        changes = [until_ns for _, until_ns in states[:-1]]
        assert parts.power(vector["seed"], vector["index"], settings, changes) == states


def _bytes(vector: dict[str, Any], *names: str) -> list[bytes]:
    return [bytes.fromhex(vector[name]) for name in names]
