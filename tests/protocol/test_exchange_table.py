"""Every state of the ISP server's exchange × everything that can happen to it, over TCP and over UDP."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hostemu.protocol.events import Event, Failed, Retrieved, Send
from hostemu.protocol.exchange import TRANSITIONS, ExchangeSettings, ExchangeState, IspExchange
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import (
    Call,
    Challenge,
    Command,
    Done,
    Hello,
    Information,
    Message,
    MessageType,
    Receipt,
    Refusal,
    Report,
    Request,
    Start,
)
from tests.protocol.builders import (
    CREDENTIALS,
    DATAGRAM,
    DEVICE_ID,
    HMAC,
    ISP_NONCE,
    MS,
    STREAM,
    TERMINAL_NONCE,
    isp,
    sent,
)
from tests.protocol.narrate import narrate

KEY = CREDENTIALS.shared_key
NONCES = (ISP_NONCE, TERMINAL_NONCE)
CHALLENGE = Challenge(TERMINAL_NONCE, HMAC.prove_terminal(KEY, DEVICE_ID, *NONCES))
REQUEST = Request(HMAC.prove_isp(KEY, DEVICE_ID, *NONCES))
INFORMATION = Information(b"sealed", HMAC.prove_information(KEY, *NONCES, b"sealed"))
BEGAN_NS = 5_000 * MS

STATES = tuple(ExchangeState)
IS_OVER = " → CLOSED"
NO = "Refusal UNEXPECTED, failed UNEXPECTED → CLOSED"
LOCAL = "failed LOCAL → CLOSED"
RESET = "failed RESET → CLOSED"
WRONG = "Refusal WRONG_KEY, failed WRONG_KEY → CLOSED"
MALFORMED = "Refusal MALFORMED, failed MALFORMED → CLOSED"
ASK = "Request → AWAIT_INFORMATION"
STAY = " → AWAIT_INFORMATION"

Row = tuple[str, str, str, str, str]

# what happens: (when NEW, when CONNECTING, when AWAIT_CHALLENGE, when AWAIT_INFORMATION, when CLOSED), over TCP
TABLE: dict[str, Row] = {
    "HELLO": (NO, NO, NO, NO, IS_OVER),
    "CHALLENGE": (NO, NO, ASK, NO, IS_OVER),
    "REQUEST": (NO, NO, NO, NO, IS_OVER),
    "INFORMATION": (NO, NO, NO, "retrieved → CLOSED", IS_OVER),
    "REFUSAL": (NO, NO, LOCAL, LOCAL, IS_OVER),
    "CALL": (NO, NO, NO, NO, IS_OVER),
    "RECEIPT": (NO, NO, NO, NO, IS_OVER),
    "COMMAND": (NO, NO, NO, NO, IS_OVER),
    "START": (NO, NO, NO, NO, IS_OVER),
    "REPORT": (NO, NO, NO, NO, IS_OVER),
    "DONE": (NO, NO, NO, NO, IS_OVER),
    "challenge with a wrong proof": (NO, NO, WRONG, NO, IS_OVER),
    "challenge with a short nonce": (NO, NO, MALFORMED, NO, IS_OVER),
    "information with a wrong proof": (NO, NO, NO, WRONG, IS_OVER),
    "changed information": (NO, NO, NO, WRONG, IS_OVER),
    "opened": (" → NEW", "Hello → AWAIT_CHALLENGE", " → AWAIT_CHALLENGE", STAY, IS_OVER),
    "broken": (RESET, RESET, RESET, RESET, IS_OVER),
    "timer, early": (" → NEW", " → CONNECTING", " → AWAIT_CHALLENGE", STAY, IS_OVER),
    "timer, time to repeat": (" → NEW", " → CONNECTING", " → AWAIT_CHALLENGE", STAY, IS_OVER),
    "timer, time over": (
        " → NEW",
        "failed SILENT → CLOSED",
        "failed TIMEOUT → CLOSED",
        "failed TIMEOUT → CLOSED",
        IS_OVER,
    ),
}

# what differs over UDP, where CONNECTING is never seen from outside
DATAGRAM_TABLE: dict[str, Row] = {
    **TABLE,
    "CHALLENGE": (NO, "", ASK, STAY, IS_OVER),
    "challenge with a wrong proof": (NO, "", WRONG, STAY, IS_OVER),
    "challenge with a short nonce": (NO, "", MALFORMED, STAY, IS_OVER),
    "timer, time to repeat": (" → NEW", "", "Hello → AWAIT_CHALLENGE", ASK, IS_OVER),
    "timer, time over": (" → NEW", "", "failed SILENT → CLOSED", "failed TIMEOUT → CLOSED", IS_OVER),
}

MESSAGES: dict[str, Message] = {
    "HELLO": Hello(DEVICE_ID, ISP_NONCE),
    "CHALLENGE": CHALLENGE,
    "REQUEST": REQUEST,
    "INFORMATION": INFORMATION,
    "REFUSAL": Refusal(Reason.LOCAL),
    "CALL": Call(DEVICE_ID, 1),
    "RECEIPT": Receipt(b""),
    "COMMAND": Command(()),
    "START": Start(0),
    "REPORT": Report(DEVICE_ID, Outcome.FAILED, Reason.SILENT, 1, 0, b"", b""),
    "DONE": Done(0),
    "challenge with a wrong proof": Challenge(TERMINAL_NONCE, bytes(16)),
    "challenge with a short nonce": Challenge(TERMINAL_NONCE[:15], CHALLENGE.proof),
    "information with a wrong proof": Information(b"sealed", bytes(16)),
    "changed information": Information(b"soaled", INFORMATION.proof),
}

Doing = Callable[[IspExchange], list[Event]]

DOINGS: dict[str, Doing] = {
    "opened": lambda exchange: exchange.opened(BEGAN_NS),
    "broken": lambda exchange: exchange.broken(Reason.RESET, BEGAN_NS),
    "timer, early": lambda exchange: exchange.timer(BEGAN_NS),
    "timer, time to repeat": lambda exchange: exchange.timer(BEGAN_NS + 250 * MS),
    "timer, time over": lambda exchange: exchange.timer(BEGAN_NS + 10_000 * MS),
}


def exchange_in(state: ExchangeState, settings: ExchangeSettings) -> IspExchange:
    """An exchange that was led into `state`, all at BEGAN_NS."""
    exchange = isp(HMAC, settings=settings)
    path: tuple[Doing, ...] = (
        lambda exchange: exchange.begin(BEGAN_NS),
        lambda exchange: exchange.opened(BEGAN_NS),
        lambda exchange: exchange.receive(CHALLENGE, BEGAN_NS),
        lambda exchange: exchange.receive(INFORMATION, BEGAN_NS),
    )
    for step in path[: STATES.index(state)]:
        step(exchange)
    return exchange


def happen(what: str, exchange: IspExchange) -> str:
    """What the exchange makes of it, in words."""
    events = DOINGS[what](exchange) if what in DOINGS else exchange.receive(MESSAGES[what], BEGAN_NS)
    return f"{narrate(events)} → {exchange.state.name}"


@pytest.mark.parametrize("what", TABLE)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_over_tcp_the_exchange_does_what_the_table_says(what: str, state: ExchangeState) -> None:
    exchange = exchange_in(state, STREAM)
    assert exchange.state is state
    assert happen(what, exchange) == TABLE[what][STATES.index(state)]


@pytest.mark.parametrize("what", DATAGRAM_TABLE)
@pytest.mark.parametrize(
    "state", [s for s in STATES if s is not ExchangeState.CONNECTING], ids=lambda state: state.name
)
def test_over_udp_the_exchange_does_what_the_table_says(what: str, state: ExchangeState) -> None:
    exchange = exchange_in(state, DATAGRAM)
    assert exchange.state is state
    assert happen(what, exchange) == DATAGRAM_TABLE[what][STATES.index(state)]


def test_the_table_has_every_message_type() -> None:
    assert {kind.name for kind in MessageType} == {what for what in TABLE if what.isupper()}
    assert all(MESSAGES[kind.name].type is kind for kind in MessageType)
    assert set(TABLE) == set(MESSAGES) | set(DOINGS)


def test_the_code_has_no_transition_that_the_tables_would_not_know() -> None:
    pairs = {(state, kind) for state in STATES for kind in MessageType if state is not ExchangeState.CLOSED}

    def is_refused(state: ExchangeState, kind: MessageType) -> bool:
        column = STATES.index(state)
        return TABLE[kind.name][column] == DATAGRAM_TABLE[kind.name][column] == NO

    known = {(state, kind) for state, kind in pairs if not is_refused(state, kind)}
    assert set(TRANSITIONS) == known - {(ExchangeState.CONNECTING, kind) for kind in MessageType}


def test_information_comes_with_the_nonce_that_it_was_sealed_for_and_the_time_it_took() -> None:
    exchange = isp(HMAC)
    exchange.begin(BEGAN_NS)
    exchange.opened(BEGAN_NS + 10 * MS)
    exchange.receive(CHALLENGE, BEGAN_NS + 30 * MS)
    events = exchange.receive(INFORMATION, BEGAN_NS + 50 * MS)
    assert events == [Retrieved(ISP_NONCE, b"sealed", 50 * MS)]


def test_failures_tell_the_time_since_the_attempt_began() -> None:
    exchange = isp(HMAC)
    exchange.begin(BEGAN_NS)
    assert exchange.broken(Reason.REFUSED, BEGAN_NS + 3 * MS) == [Failed(Reason.REFUSED, 3 * MS)]


def test_over_tcp_the_timer_is_that_of_the_connection_and_then_that_of_the_answer() -> None:
    exchange = isp(HMAC)
    timers_ns = [exchange.timer_at_ns]
    exchange.begin(BEGAN_NS)
    timers_ns.append(exchange.timer_at_ns)
    exchange.opened(BEGAN_NS + 7 * MS)
    timers_ns.append(exchange.timer_at_ns)
    exchange.receive(CHALLENGE, BEGAN_NS + 9 * MS)
    timers_ns.append(exchange.timer_at_ns)
    exchange.receive(INFORMATION, BEGAN_NS + 11 * MS)
    timers_ns.append(exchange.timer_at_ns)
    answer_ns = BEGAN_NS + 7 * MS + STREAM.answer_timeout_ns
    assert timers_ns == [None, BEGAN_NS + STREAM.connect_timeout_ns, answer_ns, answer_ns, None]


def run_timers(exchange: IspExchange) -> tuple[list[tuple[int, Message]], list[Event]]:
    """Call `timer` whenever it wants to be called; returns what was sent when (ms), and how it ended."""
    repeats: list[tuple[int, Message]] = []
    ends: list[Event] = []
    while (timer_at_ns := exchange.timer_at_ns) is not None:
        assert exchange.timer(timer_at_ns - 1) == []
        for event in exchange.timer(timer_at_ns):
            if isinstance(event, Send):
                repeats.append(((timer_at_ns - BEGAN_NS) // MS, event.message))
            else:
                ends.append(event)
    return repeats, ends


def test_over_udp_the_hello_is_repeated_at_doubling_intervals_until_the_time_is_over() -> None:
    exchange = isp(HMAC, settings=DATAGRAM)
    (hello,) = sent(exchange.begin(BEGAN_NS))
    repeats, ends = run_timers(exchange)
    assert repeats == [(250, hello), (750, hello)]
    assert ends == [Failed(Reason.SILENT, 1000 * MS)]


def test_over_udp_the_request_has_intervals_and_a_time_of_its_own() -> None:
    exchange = isp(HMAC, settings=DATAGRAM)
    exchange.begin(BEGAN_NS)
    exchange.timer(BEGAN_NS + 250 * MS)
    assert sent(exchange.receive(CHALLENGE, BEGAN_NS + 700 * MS)) == [REQUEST]
    repeats, ends = run_timers(exchange)
    assert repeats == [(700 + 250, REQUEST), (700 + 750, REQUEST), (700 + 1750, REQUEST)]
    assert ends == [Failed(Reason.TIMEOUT, (700 + 2000) * MS)]


def test_over_udp_a_late_challenge_does_not_delay_the_end() -> None:
    exchange = isp(HMAC, settings=DATAGRAM)
    exchange.begin(BEGAN_NS)
    exchange.receive(CHALLENGE, BEGAN_NS)
    timer_at_ns = exchange.timer_at_ns
    assert exchange.receive(CHALLENGE, BEGAN_NS + 100 * MS) == []
    assert exchange.timer_at_ns == timer_at_ns


def test_over_tcp_nothing_is_ever_repeated() -> None:
    exchange = isp(HMAC)
    exchange.begin(BEGAN_NS)
    exchange.opened(BEGAN_NS)
    repeats, ends = run_timers(exchange)
    assert repeats == []
    assert ends == [Failed(Reason.TIMEOUT, 2000 * MS)]
