"""Wire format: one frame per message, the same over TCP and UDP.

    offset 0  u16  length of everything after this field, big-endian
           2  u8   protocol version (1)
           3  u8   message type
           4  …    body, by type; integers are big-endian, byte strings are preceded by a u16 length

Over UDP a datagram holds exactly one frame.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar

from hostemu.protocol.reasons import Outcome, Reason

VERSION = 1
NONCE_BYTES = 16
MAX_FRAME_BYTES = 16 * 1024
"""Longest frame after the length field: what a terminal of a few kB of memory can be asked to hold."""

_HEAD = struct.Struct("!HBB")
_LENGTH = struct.Struct("!H")


class WireError(Exception):
    """The peer sent something that is no message; `reason` says in which way."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason.name.lower()}: {detail}")
        self.reason = reason


class MessageType(IntEnum):
    """Type octet of a frame."""

    HELLO = 1
    CHALLENGE = 2
    REQUEST = 3
    INFORMATION = 4
    REFUSAL = 5
    CALL = 6
    RECEIPT = 7
    COMMAND = 16
    START = 17
    REPORT = 18
    DONE = 19


@dataclass(frozen=True)
class Hello:
    """ISP server → terminal: I want device `device_id`; prove that you are it."""

    type: ClassVar[MessageType] = MessageType.HELLO
    device_id: int
    isp_nonce: bytes


@dataclass(frozen=True)
class Challenge:
    """Terminal → ISP server: my proof, and a challenge of mine."""

    type: ClassVar[MessageType] = MessageType.CHALLENGE
    terminal_nonce: bytes
    proof: bytes


@dataclass(frozen=True)
class Request:
    """ISP server → terminal: my proof; hand over the information."""

    type: ClassVar[MessageType] = MessageType.REQUEST
    proof: bytes


@dataclass(frozen=True)
class Information:
    """Terminal → ISP server: the information, sealed with the terminal's own key, and a proof over it."""

    type: ClassVar[MessageType] = MessageType.INFORMATION
    sealed: bytes
    proof: bytes


@dataclass(frozen=True)
class Refusal:
    """Either side: this exchange is over, because of `reason`."""

    type: ClassVar[MessageType] = MessageType.REFUSAL
    reason: Reason


@dataclass(frozen=True)
class Call:
    """Terminal → ISP server, where terminals call: I am `device_id`; ask me.  attempt: number of the call, from 1."""

    type: ClassVar[MessageType] = MessageType.CALL
    device_id: int
    attempt: int


@dataclass(frozen=True)
class Receipt:
    """ISP server → terminal that has called: the information is here, with a proof that it is me who says so."""

    type: ClassVar[MessageType] = MessageType.RECEIPT
    proof: bytes


@dataclass(frozen=True)
class Target:
    """One terminal of a list: its device ID and where it listens (packed IPv4 or IPv6 address, port)."""

    device_id: int
    address: bytes
    port: int


@dataclass(frozen=True)
class Command:
    """Center → ISP server: add these terminals to your list."""

    type: ClassVar[MessageType] = MessageType.COMMAND
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Start:
    """Center → ISP server: the list is complete, it has `total` terminals; begin."""

    type: ClassVar[MessageType] = MessageType.START
    total: int


@dataclass(frozen=True)
class Report:
    """ISP server → center: how one terminal ended.

    attempts: connection attempts made.  exchange_ns: from the beginning of the last attempt to its end.
    """

    type: ClassVar[MessageType] = MessageType.REPORT
    device_id: int
    outcome: Outcome
    reason: Reason
    attempts: int
    exchange_ns: int
    isp_nonce: bytes
    sealed: bytes


@dataclass(frozen=True)
class Done:
    """ISP server → center: all terminals of the list have been reported, `total` of them."""

    type: ClassVar[MessageType] = MessageType.DONE
    total: int


Message = Hello | Challenge | Request | Information | Refusal | Call | Receipt | Command | Start | Report | Done


def _string(value: bytes) -> bytes:
    return _LENGTH.pack(len(value)) + value


def _target(target: Target) -> bytes:
    return struct.pack("!QH", target.device_id, target.port) + _string(target.address)


def _body(message: Message) -> bytes:
    match message:
        case Hello():
            return struct.pack("!Q", message.device_id) + _string(message.isp_nonce)
        case Challenge():
            return _string(message.terminal_nonce) + _string(message.proof)
        case Request() | Receipt():
            return _string(message.proof)
        case Information():
            return _string(message.sealed) + _string(message.proof)
        case Refusal():
            return bytes([message.reason])
        case Call():
            return struct.pack("!QI", message.device_id, message.attempt)
        case Command():
            return _LENGTH.pack(len(message.targets)) + b"".join(map(_target, message.targets))
        case Start() | Done():
            return struct.pack("!Q", message.total)
        case Report():
            numbers = struct.pack(
                "!QBBIQ",
                message.device_id,
                message.outcome,
                message.reason,
                message.attempts,
                message.exchange_ns,
            )
            return numbers + _string(message.isp_nonce) + _string(message.sealed)


def encode(message: Message) -> bytes:
    """The frame of a message; WireError(OVERSIZED) when it, or one of its fields, would be longer than may be."""
    try:
        body = _body(message)
    except struct.error as error:
        raise WireError(Reason.OVERSIZED, f"a field of the {message.type.name.lower()} message: {error}") from None
    length = len(body) + 2
    if length > MAX_FRAME_BYTES:
        raise WireError(Reason.OVERSIZED, f"frame of {length} bytes, at most {MAX_FRAME_BYTES}")
    return _HEAD.pack(length, VERSION, message.type) + body


class _Cursor:
    """Reads the fields of one body; whatever does not fit is MALFORMED."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0

    def take(self, count: int) -> bytes:
        piece = self.body[self.at : self.at + count]
        if len(piece) < count:
            raise WireError(Reason.MALFORMED, "body ends early")
        self.at += count
        return piece

    def number(self, octets: int) -> int:
        return int.from_bytes(self.take(octets), "big")

    def string(self) -> bytes:
        return self.take(self.number(2))

    def reason(self) -> Reason:
        value = self.number(1)
        try:
            return Reason(value)
        except ValueError:
            raise WireError(Reason.MALFORMED, f"unknown reason {value}") from None

    def cause(self) -> Reason:
        reason = self.reason()
        if reason is Reason.NONE:
            raise WireError(Reason.MALFORMED, "refusal without a reason")
        return reason

    def outcome(self) -> Outcome:
        value = self.number(1)
        try:
            return Outcome(value)
        except ValueError:
            raise WireError(Reason.MALFORMED, f"unknown outcome {value}") from None

    def target(self) -> Target:
        device_id, port, address = self.number(8), self.number(2), self.string()
        if len(address) not in (4, 16):
            raise WireError(Reason.MALFORMED, f"address of {len(address)} bytes")
        return Target(device_id, address, port)

    def end(self) -> None:
        if self.at != len(self.body):
            raise WireError(Reason.MALFORMED, f"{len(self.body) - self.at} bytes too many")


_PARSERS: dict[int, Callable[[_Cursor], Message]] = {
    MessageType.HELLO: lambda c: Hello(c.number(8), c.string()),
    MessageType.CHALLENGE: lambda c: Challenge(c.string(), c.string()),
    MessageType.REQUEST: lambda c: Request(c.string()),
    MessageType.INFORMATION: lambda c: Information(c.string(), c.string()),
    MessageType.REFUSAL: lambda c: Refusal(c.cause()),
    MessageType.CALL: lambda c: Call(c.number(8), c.number(4)),
    MessageType.RECEIPT: lambda c: Receipt(c.string()),
    MessageType.COMMAND: lambda c: Command(tuple(c.target() for _ in range(c.number(2)))),
    MessageType.START: lambda c: Start(c.number(8)),
    MessageType.DONE: lambda c: Done(c.number(8)),
    MessageType.REPORT: lambda c: Report(
        c.number(8), c.outcome(), c.reason(), c.number(4), c.number(8), c.string(), c.string()
    ),
}


def _decode(frame: bytes) -> Message:
    """The message of a frame without its length field."""
    if len(frame) < 2 or frame[0] != VERSION:
        raise WireError(Reason.MALFORMED, f"no frame of version {VERSION}")
    parser = _PARSERS.get(frame[1])
    if parser is None:
        raise WireError(Reason.MALFORMED, f"unknown message type {frame[1]}")
    cursor = _Cursor(frame[2:])
    message = parser(cursor)
    cursor.end()
    return message


def _frame_length(data: bytes, at: int) -> int:
    """The length field at `at`; WireError(OVERSIZED) when no frame may be that long."""
    length: int = _LENGTH.unpack_from(data, at)[0]
    if length > MAX_FRAME_BYTES:
        raise WireError(Reason.OVERSIZED, f"frame of {length} bytes, at most {MAX_FRAME_BYTES}")
    return length


def decode_datagram(datagram: bytes) -> Message:
    """The message of one datagram; WireError when it is not exactly one frame."""
    if len(datagram) < 2:
        raise WireError(Reason.TRUNCATED, "datagram shorter than a length field")
    length = _frame_length(datagram, 0)
    if length != len(datagram) - 2:
        reason = Reason.TRUNCATED if length > len(datagram) - 2 else Reason.MALFORMED
        raise WireError(reason, f"frame of {length} bytes in a datagram of {len(datagram)}")
    return _decode(datagram[2:])


class FrameReader:
    """Cuts a byte stream into messages.  Holds less than one frame between calls; useless after a WireError."""

    def __init__(self) -> None:
        self._buffer = b""
        self._error: WireError | None = None

    def feed(self, data: bytes) -> list[Message]:
        """The messages that `data` completes; WireError, then and ever after, when it completes what is none."""
        if self._error is not None:
            raise self._error
        try:
            return self._cut(self._buffer + data)
        except WireError as error:
            self._error = error
            self._buffer = b""
            raise

    def close(self) -> None:
        """The stream has ended; WireError(TRUNCATED) if it did so inside a frame."""
        if self._buffer:
            raise WireError(Reason.TRUNCATED, f"stream ended after {len(self._buffer)} bytes of a frame")

    def _cut(self, data: bytes) -> list[Message]:
        messages = []
        at = 0
        while len(data) - at >= _LENGTH.size:
            begin = at + _LENGTH.size
            end = begin + _frame_length(data, at)
            if end > len(data):
                break
            messages.append(_decode(data[begin:end]))
            at = end
        self._buffer = data[at:]
        return messages
