"""Asks the parts of the C program: a question per line, an answer per line."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hostemu.protocol.events import Delivered, Event, Refused, Send, Served
from hostemu.protocol.power import Phase, PowerSettings
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import TerminalState
from hostemu.protocol.wire import Hello, Message, MessageType, Receipt, Refusal, Request, encode

PHASES = list(Phase)
STATES = list(TerminalState)


def hexed(data: bytes) -> str:
    """Bytes as a word."""
    return data.hex() or "-"


def unhexed(word: str) -> bytes:
    """A word as bytes."""
    return bytes.fromhex(word.removeprefix("-"))


@dataclass(frozen=True)
class Seen:
    """What a terminal reads in a message."""

    type: MessageType
    device_id: int = 0
    nonce: bytes = b""
    proof: bytes = b""
    reason: Reason = Reason.NONE

    @staticmethod
    def of(message: Message) -> Seen:
        """What is to be seen in `message`."""
        match message:
            case Hello():
                return Seen(message.type, device_id=message.device_id, nonce=message.isp_nonce)
            case Request() | Receipt():
                return Seen(message.type, proof=message.proof)
            case Refusal():
                return Seen(message.type, reason=message.reason)
            case _:
                return Seen(message.type)


@dataclass(frozen=True)
class Done:
    """What a session did about something, and its state after it."""

    frame: bytes
    is_served: bool
    is_delivered: bool
    refused: Reason
    state: TerminalState

    @staticmethod
    def of(events: Sequence[Event], state: TerminalState) -> Done:
        """The same of the Python session."""
        frames = [encode(event.message) for event in events if isinstance(event, Send)]
        reasons = [event.reason for event in events if isinstance(event, Refused)]
        assert len(frames) <= 1
        assert len(reasons) <= 1
        ends = (Served() in events, Delivered() in events)
        return Done(b"".join(frames), *ends, reasons[0] if reasons else Reason.NONE, state)


class Driver:
    """The driver program; a context manager that ends it, and fails when it did not end well.

    A driver that dies of a question is replaced, so that hypothesis can look for a shorter one.
    """

    def __init__(self, program: Path) -> None:
        self._program = program
        self._process = self._started()

    def _started(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen([str(self._program)], stdin=pipe, stdout=pipe, stderr=pipe, text=True)

    def __enter__(self) -> Driver:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _, complaint = self._process.communicate(timeout=30)
        assert (self._process.returncode, complaint) == (0, "")

    def ask(self, *words: object) -> list[str]:
        """The words of the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(map(str, words)) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            _, complaint = self._process.communicate(timeout=30)
            self._process = self._started()
            raise AssertionError(f"the driver has died:\n{complaint}")
        return answer.split()

    def sha256(self, text: bytes) -> bytes:
        """The digest."""
        return unhexed(*self.ask("sha256", hexed(text)))

    def hmac(self, key: bytes, text: bytes) -> bytes:
        """HMAC-SHA256."""
        return unhexed(*self.ask("hmac", hexed(key), hexed(text)))

    def blake2b(self, text: bytes) -> int:
        """BLAKE2b of 8 bytes, little-endian."""
        return int(*self.ask("blake2b", hexed(text)))

    def key(self, secret: bytes, role: str, device_id: int) -> bytes:
        """A device's key."""
        return unhexed(*self.ask("key", hexed(secret), role, device_id))

    def draw(self, key: int, counter: int, low: int, high: int) -> tuple[int, float, int]:
        """A draw of a stream as 64 bits, as a float, and as an integer in [low, high]."""
        word, uniform, between = self.ask("draw", key, counter, low, high)
        return int(word), float(uniform), int(between)

    def power(
        self, seed: int, index: int, settings: PowerSettings, times_ns: Sequence[int]
    ) -> list[tuple[bool, int]]:
        """(is on, next change): at first, and after going on to each of these times."""
        lengths = (settings.on_ns, settings.off_min_ns, settings.off_max_ns)
        how = (int(settings.redraw), PHASES.index(settings.phase))
        answer = self.ask("power", seed, index, *lengths, *how, *times_ns)
        return [(on == "1", int(change)) for on, change in zip(answer[::2], answer[1::2], strict=True)]

    def information(self, device_id: int, size: int) -> bytes:
        """What a device hands over."""
        return unhexed(*self.ask("information", device_id, size))

    def datagram(self, datagram: bytes) -> Seen | Reason:
        """What is in a datagram, or why it is no message."""
        return _seen(self.ask("datagram", hexed(datagram)))

    def stream(self, chunks: Sequence[bytes]) -> tuple[list[list[Seen] | Reason], int]:
        """For every chunk of a stream the messages that it completes, or why it is bad; and the bytes left."""
        *parts, left = " ".join(self.ask("stream", *map(hexed, chunks))).split(";")
        return [_messages(part.split()) for part in parts], int(left)

    def refusal(self, reason: Reason) -> bytes:
        """The frame of a Refusal."""
        return unhexed(*self.ask("refusal", int(reason)))

    def call(self, device_id: int, attempt: int) -> bytes:
        """The frame of a Call."""
        return unhexed(*self.ask("call", device_id, attempt))

    def receipt(self, scheme: str, shared_key: bytes, nonces: tuple[bytes, bytes]) -> bytes:
        """The ISP server's proof that it has the information."""
        return unhexed(*self.ask("receipt", scheme, *map(hexed, (shared_key, *nonces))))

    def challenge(self, nonce: bytes, proof: bytes) -> bytes:
        """The frame of a Challenge."""
        return unhexed(*self.ask("challenge", hexed(nonce), hexed(proof)))

    def sealed(self, sealed: bytes, proof: bytes) -> bytes:
        """The frame of an Information."""
        return unhexed(*self.ask("sealed", hexed(sealed), hexed(proof)))

    def exchange(
        self, scheme: str, device_id: int, keys: tuple[bytes, bytes], nonces: tuple[bytes, bytes], information: bytes
    ) -> list[bytes]:
        """The terminal's proof, the ISP server's, the sealed information, the proof over it."""
        parts = map(hexed, (*keys, *nonces, information))
        return [unhexed(word) for word in self.ask("exchange", scheme, device_id, *parts)]

    def device(self, scheme: str, device_id: int, secrets: tuple[bytes, bytes], information_bytes: int) -> None:
        """Sessions are of this device from now on; it has been given no challenges yet."""
        self.ask("device", scheme, device_id, *map(hexed, secrets), information_bytes)

    def begin(self, terminal_nonce: bytes) -> None:
        """Begin the device's next session."""
        self.ask("begin", hexed(terminal_nonce))

    def receive(self, datagram: bytes) -> Done:
        """What the session does about a datagram, be it a message or not."""
        return _done(self.ask("receive", hexed(datagram)))

    def broken(self, reason: Reason) -> Done:
        """What the session does about the end of the connection."""
        return _done(self.ask("broken", int(reason)))

    def lateness(self, share: float, lags_ns: Sequence[int]) -> tuple[int, int, int]:
        """How many, the maximum, the quantile."""
        count, most, quantile = self.ask("lateness", share, *lags_ns)
        return int(count), int(most), int(quantile)

    def timers(self, settings: Sequence[tuple[int, int | None]]) -> list[int]:
        """Timers by number, set to a moment long ago or cancelled: the order in which they go off."""
        pairs = ((number, "-" if due_ns is None else due_ns) for number, due_ns in settings)
        return [int(number) for number in self.ask("timers", *(word for pair in pairs for word in pair))]

    def config(self, text: str) -> list[str] | str:
        """The values of a configuration, or the message of the error."""
        kind, *values = self.ask("config", hexed(text.encode()))
        return values if kind == "config" else f"{kind}: {unhexed(values[0]).decode()}"


def _seen(words: list[str]) -> Seen | Reason:
    if len(words) == 1:
        return Reason[words[0]]
    kind, device_id, nonce, proof, reason = words
    return Seen(MessageType(int(kind)), int(device_id), unhexed(nonce), unhexed(proof), Reason[reason])


def _messages(words: list[str]) -> list[Seen] | Reason:
    reason, *rest = words
    if Reason[reason] is not Reason.NONE:
        return Reason[reason]
    seen = [_seen(rest[at : at + 5]) for at in range(0, len(rest), 5)]
    return [message for message in seen if isinstance(message, Seen)]


def _done(words: list[str]) -> Done:
    frame, served, delivered, refused, state = words
    return Done(unhexed(frame), served == "1", delivered == "1", Reason[refused], STATES[int(state)])
