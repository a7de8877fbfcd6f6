"""The known answers against the code, and against a second, naive reading of the protocol."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from itertools import count, cycle, islice
from typing import Any

import pytest

from hostemu.protocol.wire import FrameReader, MessageType, WireError, decode_datagram, encode
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
    assert exchange["receipt"] == "0014" + "01" + "07" + "0010" + _tag(key, b"receipt", isp, terminal).hex()


def test_the_xor_exchange_is_that_of_the_thesis() -> None:
    exchange = EXCHANGES["xor"]
    key, own = bytes.fromhex(exchange["shared_key"]), bytes.fromhex(exchange["own_key"])
    isp, terminal = bytes.fromhex(exchange["isp_nonce"]), bytes.fromhex(exchange["terminal_nonce"])
    plain = _u64(exchange["device_id"]) + bytes.fromhex(exchange["information"])
    _, challenge, request, answer = (step["fields"] for step in exchange["conversation"])
    assert challenge["proof"] == _xor(isp, key).hex()
    assert request["proof"] == _xor(terminal, key).hex()
    assert answer == {"sealed": _xor(plain, own).hex(), "proof": ""}
    assert exchange["receipt"] == "0004" + "01" + "07" + "0000"


@pytest.mark.parametrize("vector", VECTORS["no_messages"], ids=lambda vector: vector["datagram"] or "empty")
def test_a_known_datagram_that_is_no_message_is_refused_for_its_reason(vector: dict[str, Any]) -> None:
    with pytest.raises(WireError) as caught:
        decode_datagram(bytes.fromhex(vector["datagram"]))
    assert caught.value.reason.name == vector["reason"]


def test_draws_are_those_of_the_formula() -> None:
    for vector in VECTORS["draws"]:
        assert vector["key"] == _stream(vector["seed"], *vector["name"])
        assert vector["u64"] == _splitmix64(vector["key"], vector["counter"])
        assert vector["uniform"] == _uniform(vector["key"], vector["counter"])
        width = vector["high"] - vector["low"] + 1
        assert vector["between"] == vector["low"] + int(vector["uniform"] * width)


def test_power_cycles_are_those_of_the_formula() -> None:
    for vector in VECTORS["power_cycles"]:
        assert [(state["is_on"], state["until_ns"]) for state in vector["states"]] == list(islice(_power(vector), 6))


def _power(vector: dict[str, Any]) -> Iterator[tuple[bool, int]]:
    """(is on, until when), one stretch after the other: a cycle is a time off, then one on."""
    seed, index, redraw, on_ns = (vector[name] for name in ("seed", "index", "redraw", "on_ns"))
    low_ns, width_ns = vector["off_min_ns"], vector["off_max_ns"] - vector["off_min_ns"] + 1
    key = _stream(seed, "power", "off", index) if redraw else _stream(seed, "power", "off")

    def off_ns(cycle: int) -> int:
        return low_ns + int(_uniform(key, cycle if redraw else index) * width_ns)

    now_ns = {
        "on": -off_ns(0),
        "off": 0,
        "random": -int(_uniform(_stream(seed, "power", "phase"), index) * (off_ns(0) + on_ns)),
    }[vector["phase"]]
    for number in count():
        for is_on, length_ns in ((False, off_ns(number)), (True, on_ns)):
            now_ns += length_ns
            if now_ns > 0:
                yield is_on, now_ns


def _stream(seed: int, *name: str | int) -> int:
    text = "\x1f".join(map(str, (seed, *name))).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little")


def _splitmix64(key: int, counter: int) -> int:
    """Steele, Lea, Flood, OOPSLA 2014, figure 16."""
    state = (key + (counter + 1) * 0x9E3779B97F4A7C15) % 2**64
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    state = (state ^ state >> 27) * 0x94D049BB133111EB % 2**64
    return state ^ state >> 31


def _uniform(key: int, counter: int) -> float:
    return (_splitmix64(key, counter) >> 11) / 2**53


def _u64(value: int) -> bytes:
    return value.to_bytes(8, "big")


def _xor(data: bytes, key: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(data, cycle(key), strict=False))


def _tag(key: bytes, label: bytes, *parts: bytes) -> bytes:
    return _hmac(key, label + b"".join(len(part).to_bytes(4, "big") + part for part in parts))[:16]


def _hmac(key: bytes, text: bytes) -> bytes:
    """RFC 2104, section 2."""
    block = (key if len(key) <= 64 else hashlib.sha256(key).digest()).ljust(64, b"\0")
    inner = hashlib.sha256(_xor(block, b"\x36") + text).digest()
    return hashlib.sha256(_xor(block, b"\x5c") + inner).digest()
