"""A call of a terminal to its ISP server, from either side: the same exchange on a connection of the terminal's.

    terminal    NEW --begin--> CONNECTING --opened: Call--> TALKING --Receipt--> CLOSED (delivered)
    ISP server  AWAIT_CALL --Call: Hello--> an exchange as ever --Information: Receipt--> CLOSED (retrieved)
        refusal, broken connection, time-out ---> CLOSED (failed, with the reason)

Connections are TCP's.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto

from hostemu.protocol.auth import Scheme
from hostemu.protocol.events import Delivered, Event, Failed, Refused, Retrieved, Send
from hostemu.protocol.exchange import ExchangeSettings, ExchangeState, IspExchange
from hostemu.protocol.reasons import Reason
from hostemu.protocol.terminal import TerminalSession
from hostemu.protocol.wire import Call, Message, Refusal


class CallState(Enum):
    """Where a call stands, seen from the terminal."""

    NEW = auto()
    CONNECTING = auto()
    TALKING = auto()
    CLOSED = auto()


class TerminalCall:
    """The terminal's side.  session: of this exchange.  attempt: number of the call, from 1."""

    def __init__(self, session: TerminalSession, attempt: int, settings: ExchangeSettings) -> None:
        self.state = CallState.NEW
        self._session = session
        self._attempt = attempt
        self._settings = settings
        self._began_ns = 0
        self._expires_ns = 0

    @property
    def timer_at_ns(self) -> int | None:
        """When `timer` wants to be called next; None when the call is over."""
        return None if self.state in (CallState.NEW, CallState.CLOSED) else self._expires_ns

    def begin(self, now_ns: int) -> None:
        """The driver connects."""
        self.state = CallState.CONNECTING
        self._began_ns = now_ns
        self._expires_ns = now_ns + self._settings.connect_timeout_ns

    def opened(self, now_ns: int) -> list[Event]:
        """The connection stands."""
        if self.state is not CallState.CONNECTING:
            return []
        self.state = CallState.TALKING
        self._expires_ns = now_ns + self._settings.answer_timeout_ns
        return self._session.call(self._attempt)

    def receive(self, message: Message, now_ns: int) -> list[Event]:
        """What to do about a message of the ISP server."""
        if self.state is not CallState.TALKING:
            return []
        events = self._session.receive(message)
        for event in events:
            match event:
                case Delivered():
                    self.state = CallState.CLOSED
                case Refused(reason):
                    return [*events, *self.broken(reason, now_ns)]
        return events

    def broken(self, reason: Reason, now_ns: int) -> list[Event]:
        """The call cannot go on: no connection, connection lost, power off, or no message (WireError)."""
        if self.state is CallState.CLOSED:
            return []
        self.state = CallState.CLOSED
        return [Failed(reason, now_ns - self._began_ns)]

    def timer(self, now_ns: int) -> list[Event]:
        """Time has passed; harmless when called early."""
        if self.timer_at_ns is None or now_ns < self._expires_ns:
            return []
        return self.broken(Reason.SILENT if self.state is CallState.CONNECTING else Reason.TIMEOUT, now_ns)


class IspCall:
    """The ISP server's side of a call that it has accepted.

    keys: shared keys of the list's terminals, by device ID.  isp_nonce: NONCE_BYTES of randomness, used once.
    caller: what the terminal said, once it has proved who it is; None until then, so that nobody else can harm it.
    """

    def __init__(
        self, keys: Mapping[int, bytes], scheme: Scheme, isp_nonce: bytes, settings: ExchangeSettings, now_ns: int
    ) -> None:
        self.caller: Call | None = None
        self._keys = keys
        self._scheme = scheme
        self._isp_nonce = isp_nonce
        self._settings = settings
        self._began_ns = now_ns
        self._call: Call | None = None
        self._exchange: IspExchange | None = None
        self._is_over = False

    @property
    def timer_at_ns(self) -> int | None:
        """When `timer` wants to be called next; None when the call is over."""
        return None if self._is_over else self._began_ns + self._settings.answer_timeout_ns

    def receive(self, message: Message, now_ns: int) -> list[Event]:
        """What to do about a message of the terminal."""
        if self._is_over:
            return []
        if self._exchange is None:
            return self._begin(message, now_ns)
        events = self._exchange.receive(message, now_ns)
        if self._exchange.state is ExchangeState.AWAIT_INFORMATION:
            self.caller = self._call
        self._is_over = self._exchange.state is ExchangeState.CLOSED
        if any(isinstance(event, Retrieved) for event in events):
            return [Send(self._exchange.receipt()), *events]
        return events

    def broken(self, reason: Reason, now_ns: int) -> list[Event]:
        """The call cannot go on: connection lost, or no message (WireError)."""
        if self._is_over:
            return []
        self._is_over = True
        return [Failed(reason, now_ns - self._began_ns)]

    def timer(self, now_ns: int) -> list[Event]:
        """Time has passed; harmless when called early."""
        if self.timer_at_ns is None or now_ns < self.timer_at_ns:
            return []
        return self.broken(Reason.TIMEOUT, now_ns)

    def _begin(self, message: Message, now_ns: int) -> list[Event]:
        if not isinstance(message, Call):
            return self._refuse(Reason.UNEXPECTED, now_ns)
        self._call = message
        key = self._keys.get(message.device_id)
        if key is None:
            return self._refuse(Reason.UNKNOWN_DEVICE, now_ns)
        self._exchange = IspExchange(message.device_id, key, self._scheme, self._isp_nonce, self._settings)
        self._exchange.begin(self._began_ns)
        return self._exchange.opened(self._began_ns)

    def _refuse(self, reason: Reason, now_ns: int) -> list[Event]:
        return [Send(Refusal(reason)), *self.broken(reason, now_ns)]
