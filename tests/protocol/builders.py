"""An ISP server and a terminal that know each other, and what happens between them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hostemu.protocol.auth import SCHEMES, Credentials, Scheme, derive_key
from hostemu.protocol.events import Event, Failed, Refused, Retrieved, Send, Served
from hostemu.protocol.exchange import ExchangeSettings, IspExchange
from hostemu.protocol.terminal import NonceMemory, TerminalSession
from hostemu.protocol.wire import NONCE_BYTES, Message

DEVICE_ID = 0x0102030405060708
SHARED_SECRET = b"known to the ISP server"
OWN_SECRET = b"known to the center"
INFORMATION = b"temperature 21.5, filter 3 months old"
ISP_NONCE = bytes(range(NONCE_BYTES))
TERMINAL_NONCE = bytes(range(0xF0, 0xF0 + NONCE_BYTES))
MS = 1_000_000

XOR = SCHEMES["xor"]
HMAC = SCHEMES["hmac-sha256"]

STREAM = ExchangeSettings(stream=True, connect_timeout_ns=1000 * MS, answer_timeout_ns=2000 * MS)
DATAGRAM = ExchangeSettings(
    stream=False, connect_timeout_ns=1000 * MS, answer_timeout_ns=2000 * MS, repeat_ns=250 * MS
)


def credentials_of(device_id: int) -> Credentials:
    """What a terminal of the test fleet knows."""
    return Credentials(
        device_id, derive_key(SHARED_SECRET, "shared", device_id), derive_key(OWN_SECRET, "own", device_id)
    )


CREDENTIALS = credentials_of(DEVICE_ID)


def terminal(
    scheme: Scheme,
    *,
    credentials: Credentials = CREDENTIALS,
    information: bytes = INFORMATION,
    memory: NonceMemory | None = None,
    nonce: bytes = TERMINAL_NONCE,
) -> TerminalSession:
    """One exchange of the terminal."""
    return TerminalSession(credentials, scheme, information, memory or NonceMemory(), nonce)


def isp(
    scheme: Scheme,
    *,
    credentials: Credentials = CREDENTIALS,
    nonce: bytes = ISP_NONCE,
    settings: ExchangeSettings = STREAM,
) -> IspExchange:
    """One exchange of the ISP server."""
    return IspExchange(credentials.device_id, credentials.shared_key, scheme, nonce, settings)


def sent(events: list[Event]) -> list[Message]:
    """The messages among the events."""
    return [event.message for event in events if isinstance(event, Send)]


def begin(exchange: IspExchange, now_ns: int = 0) -> list[Event]:
    """Begin and, over TCP, connect at once."""
    return exchange.begin(now_ns) + exchange.opened(now_ns)


def unseal(scheme: Scheme, retrieved: Retrieved, credentials: Credentials = CREDENTIALS) -> bytes | None:
    """What the center makes of it."""
    return scheme.unseal(credentials.own_key, credentials.device_id, retrieved.isp_nonce, retrieved.sealed)


Tamper = Callable[[Message], Message]


@dataclass
class Talk:
    """All that was said between two machines over a perfect channel, and how it ended."""

    spoken: list[tuple[str, Message]] = field(default_factory=list)
    ends: list[Retrieved | Failed | Served | Refused] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """What was said, without the speakers."""
        return [message for _, message in self.spoken]

    def ends_of(self, *kinds: type) -> list[Event]:
        """The ends that are of these kinds."""
        return [end for end in self.ends if isinstance(end, kinds)]

    def note(self, speaker: str, events: list[Event]) -> list[Message]:
        """Write down what one side did; returns what it said."""
        messages = sent(events)
        self.spoken += [(speaker, message) for message in messages]
        self.ends += [event for event in events if isinstance(event, Retrieved | Failed | Served | Refused)]
        return messages


def talk(exchange: IspExchange, session: TerminalSession, tamper: Tamper = lambda message: message) -> Talk:
    """Let them talk; `tamper` sits in the middle and may change what is delivered, not what is written down."""
    result = Talk()
    to_terminal = result.note("isp", begin(exchange))
    while to_terminal:
        to_isp = [m for got in to_terminal for m in result.note("terminal", session.receive(tamper(got)))]
        to_terminal = [m for got in to_isp for m in result.note("isp", exchange.receive(tamper(got), 0))]
    return result
