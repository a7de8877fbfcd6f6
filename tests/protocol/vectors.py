"""Known answers for implementations of the protocol in other languages.

`python -m tests.protocol.vectors` writes vectors.json anew, which only a new version of the protocol justifies.
Byte strings are hexadecimal, integers are decimal.
"""

from __future__ import annotations

import json
from dataclasses import fields
from enum import IntEnum
from itertools import product
from pathlib import Path
from typing import Any

from hostemu.base.streams import Stream
from hostemu.protocol.auth import SCHEMES, Scheme, derive_key
from hostemu.protocol.events import Retrieved
from hostemu.protocol.power import Phase, PowerCycle, PowerSettings
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import (
    VERSION,
    Call,
    Challenge,
    Command,
    Done,
    Hello,
    Information,
    Message,
    Receipt,
    Refusal,
    Report,
    Request,
    Start,
    Target,
    WireError,
    decode_datagram,
    encode,
)
from tests.protocol.builders import (
    DEVICE_ID,
    INFORMATION,
    ISP_NONCE,
    OWN_SECRET,
    SHARED_SECRET,
    TERMINAL_NONCE,
    isp,
    talk,
    terminal,
    unseal,
)

FILE = Path(__file__).with_name("vectors.json")

IPV4 = Target(1, bytes([192, 0, 2, 7]), 4000)
IPV6 = Target(2**64 - 1, bytes.fromhex("20010db8000000000000000000000007"), 65535)

MESSAGES: tuple[Message, ...] = (
    Hello(DEVICE_ID, ISP_NONCE),
    Challenge(TERMINAL_NONCE, b"proof"),
    Request(b"proof"),
    Information(b"sealed", b"proof"),
    Information(b"sealed", b""),
    *(Refusal(reason) for reason in Reason if reason is not Reason.NONE),
    Call(DEVICE_ID, 3),
    Receipt(b"proof"),
    Receipt(b""),
    Command(()),
    Command((IPV4, IPV6)),
    Start(1500),
    Report(DEVICE_ID, Outcome.RETRIEVED, Reason.NONE, 3, 41_234_567, ISP_NONCE, b"sealed"),
    Report(1, Outcome.FAILED, Reason.SILENT, 60, 1_000_000_000, b"", b""),
    Done(1500),
)

NO_MESSAGES: tuple[bytes, ...] = (
    b"",
    b"\0",
    b"\0\0",
    b"\0\1\1",
    b"\0\2\1\x63",  # an unknown type
    b"\0\2\2\3",  # another version
    b"\0\5\1\3\0\0",  # shorter than it says
    b"\0\4\1\3\0\0\0",  # longer than it says
    b"\0\6\1\3\0\3ab",  # a string that leads out of it
    b"\0\5\1\3\0\0c",  # something behind the last field
    b"\0\3\1\5\0",  # a refusal without a reason
    b"\0\3\1\5\x20",  # an unknown reason
    b"\x40\1\1\3",  # longer than any frame
    encode(Report(1, Outcome.FAILED, Reason.SILENT, 1, 1, b"", b"")).replace(b"\2\2", b"\3\2"),  # no such outcome
    encode(Command((Target(1, b"four", 1),))).replace(b"\4four", b"\3for"),  # no address
)
"""Datagrams that are refused."""

SEED = 2008
STREAMS: tuple[tuple[str | int, ...], ...] = (("power", "off"), ("power", "phase"), ("power", "off", 2**63 - 1))
LENGTHS_NS = ((5_000_000_000, 30_000_000_000, 60_000_000_000), (1, 1, 2**60))
INDEXES = (0, 6399, 2**63 - 1)
SECRETS = ((SHARED_SECRET, "shared"), (OWN_SECRET, "own"), (b"", "own"), (bytes(range(100)), "shared"))


def make_vectors() -> dict[str, Any]:
    """All known answers."""
    return {
        "version": VERSION,
        "keys": [_key(secret, role) for secret, role in SECRETS],
        "messages": [_message(message) for message in MESSAGES],
        "no_messages": [_refused(datagram) for datagram in NO_MESSAGES],
        "exchanges": [_exchange(scheme) for scheme in SCHEMES.values()],
        "draws": [_draw(name, counter) for name in STREAMS for counter in (0, 1, 2**64 - 1)],
        "power_cycles": [
            _power_cycle(PowerSettings(*lengths_ns, redraw, phase), index)
            for lengths_ns, redraw, phase, index in product(LENGTHS_NS, (False, True), Phase, INDEXES)
        ],
    }


def _refused(datagram: bytes) -> dict[str, Any]:
    try:
        raise AssertionError(f"{datagram!r} is {decode_datagram(datagram)}")
    except WireError as error:
        return {"datagram": datagram.hex(), "reason": error.reason.name}


def _draw(name: tuple[str | int, ...], counter: int) -> dict[str, Any]:
    stream = Stream.named(SEED, *name)
    low, high = 30_000_000_000, 60_000_000_000
    return {
        "seed": SEED,
        "name": list(name),
        "key": stream.key,
        "counter": counter,
        "u64": stream.u64(counter),
        "uniform": stream.uniform(counter),
        "low": low,
        "high": high,
        "between": stream.between(counter, low, high),
    }


def _power_cycle(settings: PowerSettings, index: int) -> dict[str, Any]:
    """The state at first, and after each of the next five changes."""
    power = PowerCycle(settings, SEED, index)
    states = []
    for _ in range(6):
        states.append({"is_on": power.is_on, "until_ns": power.next_change_ns})
        power.advance(power.next_change_ns)
    lengths = {name: getattr(settings, name) for name in ("on_ns", "off_min_ns", "off_max_ns", "redraw")}
    return {"seed": SEED, "index": index, **lengths, "phase": settings.phase.value, "states": states}


def _key(secret: bytes, role: str) -> dict[str, Any]:
    key = derive_key(secret, role, DEVICE_ID)
    return {"secret": secret.hex(), "role": role, "device_id": DEVICE_ID, "key": key.hex()}


def _message(message: Message) -> dict[str, Any]:
    return {"type": message.type.name, "fields": _fields(message), "frame": encode(message).hex()}


def _fields(part: Any) -> dict[str, Any]:
    return {field.name: _value(getattr(part, field.name)) for field in fields(part)}


def _value(value: Any) -> Any:
    match value:
        case IntEnum():
            return value.name
        case bytes():
            return value.hex()
        case tuple():
            return [_fields(item) for item in value]
        case _:
            return value


def _exchange(scheme: Scheme) -> dict[str, Any]:
    server, called = isp(scheme), terminal(scheme)
    done = talk(server, called)
    (retrieved,) = (end for end in done.ends if isinstance(end, Retrieved))
    return {
        "scheme": scheme.name,
        "device_id": DEVICE_ID,
        "shared_key": derive_key(SHARED_SECRET, "shared", DEVICE_ID).hex(),
        "own_key": derive_key(OWN_SECRET, "own", DEVICE_ID).hex(),
        "isp_nonce": ISP_NONCE.hex(),
        "terminal_nonce": TERMINAL_NONCE.hex(),
        "information": INFORMATION.hex(),
        "conversation": [{"from": speaker, **_message(message)} for speaker, message in done.spoken],
        "receipt": encode(server.receipt()).hex(),
        "unsealed": (unseal(scheme, retrieved) or b"").hex(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(make_vectors(), indent=1) + "\n")
