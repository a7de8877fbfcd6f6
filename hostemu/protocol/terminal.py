"""The terminal's side of one exchange.

    LISTENING --Hello--> CHALLENGED --Request--> SERVED
        any other message, bad proof, garbage, early end ---> CLOSED (refused, with the reason)

A terminal that has called its ISP server begins with Call, and is told by Receipt, when SERVED, that all went well.
A repeated Hello or Request of the same exchange is answered with the same message again: over UDP the first answer
may have been lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import Enum, auto

from hostemu.protocol.auth import Credentials, Scheme, equal
from hostemu.protocol.events import Delivered, Event, Refused, Send, Served
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import (
    NONCE_BYTES,
    Call,
    Challenge,
    Hello,
    Information,
    Message,
    MessageType,
    Receipt,
    Refusal,
    Request,
)


class TerminalState(Enum):
    """Where one exchange stands, seen from the terminal."""

    LISTENING = auto()
    CHALLENGED = auto()
    SERVED = auto()
    CLOSED = auto()


class NonceMemory:
    """The challenges a terminal has lately been given; one that comes again is a replay."""

    def __init__(self, size: int = 64) -> None:
        self._nonces: deque[bytes] = deque(maxlen=size)

    def is_new(self, nonce: bytes) -> bool:
        """Remember `nonce`; False when it was there already."""
        if nonce in self._nonces:
            return False
        self._nonces.append(nonce)
        return True


class TerminalSession:
    """One exchange, from the terminal's side.

    information: what is handed over.  terminal_nonce: NONCE_BYTES of randomness, used once.
    """

    def __init__(
        self,
        credentials: Credentials,
        scheme: Scheme,
        information: bytes,
        memory: NonceMemory,
        terminal_nonce: bytes,
    ) -> None:
        self.state = TerminalState.LISTENING
        self._credentials = credentials
        self._scheme = scheme
        self._information = information
        self._memory = memory
        self._terminal_nonce = terminal_nonce
        self._isp_nonce = b""
        self._answer: Message | None = None

    def call(self, attempt: int) -> list[Event]:
        """This terminal has called its ISP server, the `attempt`th time: say who it is."""
        return [Send(Call(self._credentials.device_id, attempt))]

    def receive(self, message: Message) -> list[Event]:
        """What to do about a message of the ISP server."""
        handler = TRANSITIONS.get((self.state, message.type))
        if handler is not None:
            return handler(self, message)
        if self.state is TerminalState.CLOSED:
            return []
        return self._refuse(Reason.UNEXPECTED)

    def broken(self, reason: Reason) -> list[Event]:
        """The peer sent no message (WireError) or left (RESET, TRUNCATED), as `reason` says."""
        if self.state in (TerminalState.SERVED, TerminalState.CLOSED):
            self.state = TerminalState.CLOSED
            return []
        return self._refuse(reason)

    def _refuse(self, reason: Reason) -> list[Event]:
        self.state = TerminalState.CLOSED
        return [Send(Refusal(reason)), Refused(reason)]

    def _on_hello(self, message: Message) -> list[Event]:
        assert isinstance(message, Hello)
        if message.device_id != self._credentials.device_id:
            return self._refuse(Reason.UNKNOWN_DEVICE)
        if len(message.isp_nonce) != NONCE_BYTES:
            return self._refuse(Reason.MALFORMED)
        if self._scheme.detects_replay and not self._memory.is_new(message.isp_nonce):
            return self._refuse(Reason.REPLAY)
        self._isp_nonce = message.isp_nonce
        key, device_id = self._credentials.shared_key, self._credentials.device_id
        proof = self._scheme.prove_terminal(key, device_id, self._isp_nonce, self._terminal_nonce)
        self.state = TerminalState.CHALLENGED
        self._answer = Challenge(self._terminal_nonce, proof)
        return [Send(self._answer)]

    def _on_request(self, message: Message) -> list[Event]:
        assert isinstance(message, Request)
        who = self._credentials
        nonces = (self._isp_nonce, self._terminal_nonce)
        if not equal(message.proof, self._scheme.prove_isp(who.shared_key, who.device_id, *nonces)):
            return self._refuse(Reason.WRONG_KEY)
        sealed = self._scheme.seal(who.own_key, who.device_id, self._isp_nonce, self._information)
        proof = self._scheme.prove_information(who.shared_key, *nonces, sealed)
        self.state = TerminalState.SERVED
        self._answer = Information(sealed, proof)
        return [Send(self._answer), Served()]

    def _on_hello_again(self, message: Message) -> list[Event]:
        assert isinstance(message, Hello)
        if message != Hello(self._credentials.device_id, self._isp_nonce):
            return self._refuse(Reason.UNEXPECTED)
        return self._repeat(message)

    def _repeat(self, message: Message) -> list[Event]:
        return [Send(self._answer)] if self._answer is not None else []

    def _on_receipt(self, message: Message) -> list[Event]:
        assert isinstance(message, Receipt)
        key = self._credentials.shared_key
        if not equal(message.proof, self._scheme.prove_receipt(key, self._isp_nonce, self._terminal_nonce)):
            return self._refuse(Reason.WRONG_KEY)
        self.state = TerminalState.CLOSED
        return [Delivered()]

    def _on_refusal(self, message: Message) -> list[Event]:
        assert isinstance(message, Refusal)
        self.state = TerminalState.CLOSED
        return [Refused(message.reason)]

    def _ignore(self, message: Message) -> list[Event]:
        return []


_Handler = Callable[[TerminalSession, Message], list[Event]]

TRANSITIONS: dict[tuple[TerminalState, MessageType], _Handler] = {
    (TerminalState.LISTENING, MessageType.HELLO): TerminalSession._on_hello,
    (TerminalState.LISTENING, MessageType.REFUSAL): TerminalSession._on_refusal,
    (TerminalState.CHALLENGED, MessageType.HELLO): TerminalSession._on_hello_again,
    (TerminalState.CHALLENGED, MessageType.REQUEST): TerminalSession._on_request,
    (TerminalState.CHALLENGED, MessageType.REFUSAL): TerminalSession._on_refusal,
    (TerminalState.SERVED, MessageType.REQUEST): TerminalSession._repeat,
    (TerminalState.SERVED, MessageType.HELLO): TerminalSession._ignore,
    (TerminalState.SERVED, MessageType.RECEIPT): TerminalSession._on_receipt,
    (TerminalState.SERVED, MessageType.REFUSAL): TerminalSession._on_refusal,
}
"""(state, message) → handler.  A pair that is not here is refused as UNEXPECTED; CLOSED ignores everything."""
