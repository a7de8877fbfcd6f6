"""The ISP server's side of one exchange with one terminal.

    NEW --begin--> CONNECTING --opened--> AWAIT_CHALLENGE --Challenge--> AWAIT_INFORMATION --Information--> CLOSED
        any other message, bad proof, refusal, broken connection, time-out ---> CLOSED (failed, with the reason)

Over UDP there is no CONNECTING: `begin` sends the Hello at once, and the last message is repeated, at doubling
intervals, until it is answered or the time is over.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from hostemu.protocol.auth import Scheme, equal
from hostemu.protocol.events import Event, Failed, Retrieved, Send
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import (
    NONCE_BYTES,
    Challenge,
    Hello,
    Information,
    Message,
    MessageType,
    Receipt,
    Refusal,
    Request,
)


class ExchangeState(Enum):
    """Where one exchange stands, seen from the ISP server."""

    NEW = auto()
    CONNECTING = auto()
    AWAIT_CHALLENGE = auto()
    AWAIT_INFORMATION = auto()
    CLOSED = auto()


@dataclass(frozen=True)
class ExchangeSettings:
    """stream: TCP, else UDP.

    connect_timeout_ns: until the connection stands (UDP: until the first answer).
    answer_timeout_ns: from then to the end of the exchange.
    repeat_ns: first interval after which an unanswered datagram is sent again.
    """

    stream: bool
    connect_timeout_ns: int
    answer_timeout_ns: int
    repeat_ns: int = 250_000_000


class IspExchange:
    """One attempt at one terminal.  isp_nonce: NONCE_BYTES of randomness, used once."""

    def __init__(
        self,
        device_id: int,
        shared_key: bytes,
        scheme: Scheme,
        isp_nonce: bytes,
        settings: ExchangeSettings,
    ) -> None:
        self.state = ExchangeState.NEW
        self._device_id = device_id
        self._key = shared_key
        self._scheme = scheme
        self._isp_nonce = isp_nonce
        self._settings = settings
        self._terminal_nonce = b""
        self._began_ns = 0
        self._expires_ns = 0
        self._repeat_at_ns: int | None = None
        self._repeat_ns = settings.repeat_ns
        self._last_sent: Message | None = None

    @property
    def timer_at_ns(self) -> int | None:
        """When `timer` wants to be called next; None when the exchange is over."""
        if self.state in (ExchangeState.NEW, ExchangeState.CLOSED):
            return None
        if self._repeat_at_ns is None:
            return self._expires_ns
        return min(self._repeat_at_ns, self._expires_ns)

    def begin(self, now_ns: int) -> list[Event]:
        """The driver starts the attempt: it connects (TCP) or has a socket (UDP)."""
        self._began_ns = now_ns
        self._expires_ns = now_ns + self._settings.connect_timeout_ns
        self.state = ExchangeState.CONNECTING
        return [] if self._settings.stream else self._say_hello(now_ns)

    def opened(self, now_ns: int) -> list[Event]:
        """The TCP connection stands."""
        if self.state is not ExchangeState.CONNECTING:
            return []
        self._expires_ns = now_ns + self._settings.answer_timeout_ns
        return self._say_hello(now_ns)

    def receive(self, message: Message, now_ns: int) -> list[Event]:
        """What to do about a message of the terminal."""
        if self.state is ExchangeState.CLOSED:
            return []
        handler = TRANSITIONS.get((self.state, message.type))
        if handler is None:
            return self._refuse(Reason.UNEXPECTED, now_ns)
        return handler(self, message, now_ns)

    def receipt(self) -> Receipt:
        """What a terminal that has called is told once its information is here."""
        return Receipt(self._scheme.prove_receipt(self._key, self._isp_nonce, self._terminal_nonce))

    def broken(self, reason: Reason, now_ns: int) -> list[Event]:
        """The attempt cannot go on: no connection, connection lost, or no message (WireError)."""
        if self.state is ExchangeState.CLOSED:
            return []
        return self._fail(reason, now_ns)

    def timer(self, now_ns: int) -> list[Event]:
        """Time has passed; harmless when called early."""
        timer_at_ns = self.timer_at_ns
        if timer_at_ns is None or now_ns < timer_at_ns:
            return []
        if now_ns >= self._expires_ns:
            return self._fail(self._timeout_reason(), now_ns)
        self._repeat_ns *= 2
        self._repeat_at_ns = now_ns + self._repeat_ns
        return [Send(self._last_sent)] if self._last_sent is not None else []

    def _timeout_reason(self) -> Reason:
        unheard = not self._settings.stream and self.state is ExchangeState.AWAIT_CHALLENGE
        return Reason.SILENT if unheard or self.state is ExchangeState.CONNECTING else Reason.TIMEOUT

    def _send(self, message: Message, now_ns: int) -> list[Event]:
        self._last_sent = message
        if not self._settings.stream:
            self._repeat_ns = self._settings.repeat_ns
            self._repeat_at_ns = now_ns + self._repeat_ns
        return [Send(message)]

    def _say_hello(self, now_ns: int) -> list[Event]:
        self.state = ExchangeState.AWAIT_CHALLENGE
        return self._send(Hello(self._device_id, self._isp_nonce), now_ns)

    def _fail(self, reason: Reason, now_ns: int) -> list[Event]:
        self.state = ExchangeState.CLOSED
        return [Failed(reason, now_ns - self._began_ns)]

    def _refuse(self, reason: Reason, now_ns: int) -> list[Event]:
        return [Send(Refusal(reason)), *self._fail(reason, now_ns)]

    def _on_challenge(self, message: Message, now_ns: int) -> list[Event]:
        assert isinstance(message, Challenge)
        if len(message.terminal_nonce) != NONCE_BYTES:
            return self._refuse(Reason.MALFORMED, now_ns)
        nonces = (self._isp_nonce, message.terminal_nonce)
        if not equal(message.proof, self._scheme.prove_terminal(self._key, self._device_id, *nonces)):
            return self._refuse(Reason.WRONG_KEY, now_ns)
        self._terminal_nonce = message.terminal_nonce
        self.state = ExchangeState.AWAIT_INFORMATION
        if not self._settings.stream:
            self._expires_ns = now_ns + self._settings.answer_timeout_ns
        return self._send(Request(self._scheme.prove_isp(self._key, self._device_id, *nonces)), now_ns)

    def _on_challenge_again(self, message: Message, now_ns: int) -> list[Event]:
        """A late copy: over UDP our Hello was repeated, so its answer may be, too."""
        return self._refuse(Reason.UNEXPECTED, now_ns) if self._settings.stream else []

    def _on_information(self, message: Message, now_ns: int) -> list[Event]:
        assert isinstance(message, Information)
        nonces = (self._isp_nonce, self._terminal_nonce)
        expected = self._scheme.prove_information(self._key, *nonces, message.sealed)
        if not equal(message.proof, expected):
            return self._refuse(Reason.WRONG_KEY, now_ns)
        self.state = ExchangeState.CLOSED
        return [Retrieved(self._isp_nonce, message.sealed, now_ns - self._began_ns)]

    def _on_refusal(self, message: Message, now_ns: int) -> list[Event]:
        assert isinstance(message, Refusal)
        return self._fail(message.reason, now_ns)


_Handler = Callable[[IspExchange, Message, int], list[Event]]

TRANSITIONS: dict[tuple[ExchangeState, MessageType], _Handler] = {
    (ExchangeState.AWAIT_CHALLENGE, MessageType.CHALLENGE): IspExchange._on_challenge,
    (ExchangeState.AWAIT_CHALLENGE, MessageType.REFUSAL): IspExchange._on_refusal,
    (ExchangeState.AWAIT_INFORMATION, MessageType.CHALLENGE): IspExchange._on_challenge_again,
    (ExchangeState.AWAIT_INFORMATION, MessageType.INFORMATION): IspExchange._on_information,
    (ExchangeState.AWAIT_INFORMATION, MessageType.REFUSAL): IspExchange._on_refusal,
}
"""(state, message) → handler.  A pair that is not here fails as UNEXPECTED; CLOSED ignores everything."""
