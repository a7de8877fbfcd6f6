"""Known answers for implementations of the protocol in other languages.

`python -m tests.protocol.vectors` writes vectors.json anew, which only a new version of the protocol justifies.
Byte strings are hexadecimal, integers are decimal.
"""

from __future__ import annotations

import json
from dataclasses import fields
from enum import IntEnum
from pathlib import Path
from typing import Any

from hostemu.protocol.auth import SCHEMES, Scheme, derive_key
from hostemu.protocol.events import Retrieved
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import (
    VERSION,
    Challenge,
    Command,
    Done,
    Hello,
    Information,
    Message,
    Refusal,
    Report,
    Request,
    Start,
    Target,
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
    Command(()),
    Command((IPV4, IPV6)),
    Start(1500),
    Report(DEVICE_ID, Outcome.RETRIEVED, Reason.NONE, 3, 41_234_567, ISP_NONCE, b"sealed"),
    Report(1, Outcome.FAILED, Reason.SILENT, 60, 1_000_000_000, b"", b""),
    Done(1500),
)


def make_vectors() -> dict[str, Any]:
    """All known answers."""
    return {
        "version": VERSION,
        "keys": [_key(secret, role) for secret, role in ((SHARED_SECRET, "shared"), (OWN_SECRET, "own"))],
        "messages": [_message(message) for message in MESSAGES],
        "exchanges": [_exchange(scheme) for scheme in SCHEMES.values()],
    }


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
    done = talk(isp(scheme), terminal(scheme))
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
        "unsealed": (unseal(scheme, retrieved) or b"").hex(),
    }


if __name__ == "__main__":
    FILE.write_text(json.dumps(make_vectors(), indent=1) + "\n")
