"""The known answers against the code, and against a second, naive reading of the protocol."""

from __future__ import annotations

import hashlib
import json
from itertools import cycle
from typing import Any

import pytest

from hostemu.protocol.wire import FrameReader, MessageType, decode_datagram, encode
from tests.protocol.vectors import FILE, MESSAGES, make_vectors

VECTORS: dict[str, Any] = json.loads(FILE.read_text())
EXCHANGES: dict[str, dict[str, Any]] = {exchange["scheme"]: exchange for exchange in VECTORS["exchanges"]}


def test_the_code_gives_the_known_answers() -> None:
    assert make_vectors() == VECTORS


@pytest.mark.parametrize(("vector", "message"), list(zip(VECTORS["messages"], MESSAGES, strict=True)))
def test_a_known_frame_is_its_message(vector: dict[str, Any], message: Any) -> None:
    assert decode_datagram(bytes.fromhex(vector["frame"])) == message
    assert encode(message).hex() == vector["frame"]


def test_every_message_type_has_a_known_frame() -> None:
    assert {vector["type"] for vector in VECTORS["messages"]} == {kind.name for kind in MessageType}


def test_a_hello_is_laid_out_as_documented() -> None:
    frame = VECTORS["messages"][0]["frame"]
    assert frame == "001c" + "01" + "01" + "0102030405060708" + "0010" + "000102030405060708090a0b0c0d0e0f"


@pytest.mark.parametrize("scheme", EXCHANGES)
def test_a_known_exchange_goes_through_a_stream_and_ends_with_the_information(scheme: str) -> None:
    exchange = EXCHANGES[scheme]
    stream = bytes.fromhex("".join(step["frame"] for step in exchange["conversation"]))
    assert [message.type.name for message in FrameReader().feed(stream)] == [
        "HELLO",
        "CHALLENGE",
        "REQUEST",
        "INFORMATION",
    ]
    assert [step["from"] for step in exchange["conversation"]] == ["isp", "terminal", "isp", "terminal"]
    assert exchange["unsealed"] == exchange["information"]


def test_keys_are_those_of_the_formula() -> None:
    for vector in VECTORS["keys"]:
        text = b"hostemu key\0" + vector["role"].encode() + b"\0" + _u64(vector["device_id"])
        assert _hmac(bytes.fromhex(vector["secret"]), text)[:16].hex() == vector["key"]


def test_the_hmac_exchange_is_that_of_the_formulas() -> None:
    exchange = EXCHANGES["hmac-sha256"]
    key, own = bytes.fromhex(exchange["shared_key"]), bytes.fromhex(exchange["own_key"])
    device = _u64(exchange["device_id"])
    isp, terminal = bytes.fromhex(exchange["isp_nonce"]), bytes.fromhex(exchange["terminal_nonce"])
    information = bytes.fromhex(exchange["information"])
    hello, challenge, request, answer = (step["fields"] for step in exchange["conversation"])
    sealed = _tag(own, b"seal", device, isp, information) + information
    assert hello == {"device_id": exchange["device_id"], "isp_nonce": isp.hex()}
    assert challenge == {
        "terminal_nonce": terminal.hex(),
        "proof": _tag(key, b"terminal", device, isp, terminal).hex(),
    }
    assert request == {"proof": _tag(key, b"isp", device, isp, terminal).hex()}
    assert answer == {"sealed": sealed.hex(), "proof": _tag(key, b"information", isp, terminal, sealed).hex()}


def test_the_xor_exchange_is_that_of_the_thesis() -> None:
    exchange = EXCHANGES["xor"]
    key, own = bytes.fromhex(exchange["shared_key"]), bytes.fromhex(exchange["own_key"])
    isp, terminal = bytes.fromhex(exchange["isp_nonce"]), bytes.fromhex(exchange["terminal_nonce"])
    plain = _u64(exchange["device_id"]) + bytes.fromhex(exchange["information"])
    _, challenge, request, answer = (step["fields"] for step in exchange["conversation"])
    assert challenge["proof"] == _xor(isp, key).hex()
    assert request["proof"] == _xor(terminal, key).hex()
    assert answer == {"sealed": _xor(plain, own).hex(), "proof": ""}


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _xor(data: bytes, key: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(data, cycle(key), strict=False))


def _tag(key: bytes, label: bytes, *parts: bytes) -> bytes:
    return _hmac(key, label + b"".join(len(part).to_bytes(4, "big") + part for part in parts))[:16]


def _hmac(key: bytes, text: bytes) -> bytes:
    """RFC 2104, section 2, for keys that are no longer than a block of SHA-256."""
    block = key.ljust(64, b"\0")
    inner = hashlib.sha256(_xor(block, b"\x36") + text).digest()
    return hashlib.sha256(_xor(block, b"\x5c") + inner).digest()
