"""Every state of the terminal × everything that can happen to it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hostemu.protocol.events import Event, Refused, Send
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.terminal import TRANSITIONS, NonceMemory, TerminalSession, TerminalState
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
from tests.protocol.builders import CREDENTIALS, DEVICE_ID, HMAC, ISP_NONCE, TERMINAL_NONCE, XOR, sent, terminal
from tests.protocol.narrate import narrate

HELLO = Hello(DEVICE_ID, ISP_NONCE)
REQUEST = Request(HMAC.prove_isp(CREDENTIALS.shared_key, DEVICE_ID, ISP_NONCE, TERMINAL_NONCE))
RECEIPT = Receipt(HMAC.prove_receipt(CREDENTIALS.shared_key, ISP_NONCE, TERMINAL_NONCE))

STATES = tuple(TerminalState)
NO = "Refusal UNEXPECTED, refused UNEXPECTED → CLOSED"

# what happens: (when LISTENING, when CHALLENGED, when SERVED, when CLOSED)
TABLE: dict[str, tuple[str, str, str, str]] = {
    "HELLO": ("Challenge → CHALLENGED", "Challenge → CHALLENGED", " → SERVED", " → CLOSED"),
    "CHALLENGE": (NO, NO, NO, " → CLOSED"),
    "REQUEST": (NO, "Information, served → SERVED", "Information → SERVED", " → CLOSED"),
    "INFORMATION": (NO, NO, NO, " → CLOSED"),
    "REFUSAL": ("refused LOCAL → CLOSED", "refused LOCAL → CLOSED", "refused LOCAL → CLOSED", " → CLOSED"),
    "CALL": (NO, NO, NO, " → CLOSED"),
    "RECEIPT": (NO, NO, "delivered → CLOSED", " → CLOSED"),
    "COMMAND": (NO, NO, NO, " → CLOSED"),
    "START": (NO, NO, NO, " → CLOSED"),
    "REPORT": (NO, NO, NO, " → CLOSED"),
    "DONE": (NO, NO, NO, " → CLOSED"),
    "broken": (
        "Refusal RESET, refused RESET → CLOSED",
        "Refusal RESET, refused RESET → CLOSED",
        " → CLOSED",
        " → CLOSED",
    ),
    "receipt with a wrong proof": (NO, NO, "Refusal WRONG_KEY, refused WRONG_KEY → CLOSED", " → CLOSED"),
    "hello with another nonce": ("Challenge → CHALLENGED", NO, " → SERVED", " → CLOSED"),
    "hello for another device": (
        "Refusal UNKNOWN_DEVICE, refused UNKNOWN_DEVICE → CLOSED",
        NO,
        " → SERVED",
        " → CLOSED",
    ),
    "hello with a short nonce": ("Refusal MALFORMED, refused MALFORMED → CLOSED", NO, " → SERVED", " → CLOSED"),
    "hello with a nonce of before": ("Refusal REPLAY, refused REPLAY → CLOSED", NO, " → SERVED", " → CLOSED"),
    "request with a wrong proof": (
        NO,
        "Refusal WRONG_KEY, refused WRONG_KEY → CLOSED",
        "Information → SERVED",
        " → CLOSED",
    ),
}

MESSAGES: dict[str, Message] = {
    "HELLO": HELLO,
    "CHALLENGE": Challenge(TERMINAL_NONCE, b""),
    "REQUEST": REQUEST,
    "INFORMATION": Information(b"", b""),
    "REFUSAL": Refusal(Reason.LOCAL),
    "CALL": Call(DEVICE_ID, 1),
    "RECEIPT": RECEIPT,
    "receipt with a wrong proof": Receipt(bytes(16)),
    "COMMAND": Command(()),
    "START": Start(0),
    "REPORT": Report(DEVICE_ID, Outcome.FAILED, Reason.SILENT, 1, 0, b"", b""),
    "DONE": Done(0),
    "hello with another nonce": Hello(DEVICE_ID, bytes(16)),
    "hello for another device": Hello(DEVICE_ID + 1, ISP_NONCE),
    "hello with a short nonce": Hello(DEVICE_ID, ISP_NONCE[:15]),
    "hello with a nonce of before": Hello(DEVICE_ID, b"b" * 16),
    "request with a wrong proof": Request(bytes(16)),
}


def session_in(state: TerminalState) -> TerminalSession:
    """A session that was led into `state`."""
    memory = NonceMemory()
    memory.is_new(b"b" * 16)
    session = terminal(HMAC, memory=memory)
    path: dict[TerminalState, tuple[Message, ...]] = {
        TerminalState.LISTENING: (),
        TerminalState.CHALLENGED: (HELLO,),
        TerminalState.SERVED: (HELLO, REQUEST),
        TerminalState.CLOSED: (Done(0),),
    }
    for message in path[state]:
        session.receive(message)
    return session


def happen(what: str) -> Callable[[TerminalSession], list[Event]]:
    """The doing that a row of the table names."""
    if what == "broken":
        return lambda session: session.broken(Reason.RESET)
    return lambda session: session.receive(MESSAGES[what])


@pytest.mark.parametrize("what", TABLE)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_the_terminal_does_what_the_table_says(what: str, state: TerminalState) -> None:
    session = session_in(state)
    assert session.state is state
    events = happen(what)(session)
    assert f"{narrate(events)} → {session.state.name}" == TABLE[what][STATES.index(state)]


def test_the_table_has_every_message_type() -> None:
    assert {kind.name for kind in MessageType} < set(TABLE)
    assert {what: message.type.name for what, message in MESSAGES.items() if what.isupper()} == {
        kind.name: kind.name for kind in MessageType
    }


def test_the_code_has_no_transition_that_the_table_would_not_know() -> None:
    refused = {
        (state, kind) for kind in MessageType for state in STATES if TABLE[kind.name][STATES.index(state)] == NO
    }
    closed = {(TerminalState.CLOSED, kind) for kind in MessageType}
    assert set(TRANSITIONS) == {(state, kind) for state in STATES for kind in MessageType} - refused - closed


@pytest.mark.parametrize("what", TABLE)
def test_a_closed_session_stays_closed_and_silent(what: str) -> None:
    session = session_in(TerminalState.CLOSED)
    for other in TABLE:
        assert happen(other)(session) == []
    assert happen(what)(session) == []
    assert session.state is TerminalState.CLOSED


def test_repeated_questions_get_the_very_same_answers() -> None:
    session = session_in(TerminalState.LISTENING)
    assert session.receive(HELLO) == session.receive(HELLO)
    first = sent(session.receive(REQUEST))
    assert [sent(session.receive(REQUEST)) for _ in range(3)] == [first] * 3


def test_a_garbled_answer_to_the_terminal_is_refused_for_its_own_reason() -> None:
    for reason in (Reason.MALFORMED, Reason.OVERSIZED, Reason.TRUNCATED):
        session = session_in(TerminalState.CHALLENGED)
        assert session.broken(reason) == [Send(Refusal(reason)), Refused(reason)]


def test_a_terminal_remembers_its_last_64_challenges() -> None:
    memory = NonceMemory()
    nonces = [bytes([index]) * 16 for index in range(65)]
    assert all(memory.is_new(nonce) for nonce in nonces)
    assert not any(memory.is_new(nonce) for nonce in nonces[1:])
    assert memory.is_new(nonces[0])


def test_a_memory_may_be_of_any_size() -> None:
    memory = NonceMemory(size=1)
    assert [memory.is_new(nonce) for nonce in (b"a", b"a", b"b", b"a")] == [True, False, True, True]


def test_only_a_scheme_that_detects_replay_minds_a_nonce_of_before() -> None:
    memory = NonceMemory()
    for expected in ("Challenge", "Challenge"):
        assert narrate(terminal(XOR, memory=memory).receive(HELLO)) == expected
    for expected in ("Challenge", "Refusal REPLAY, refused REPLAY"):
        assert narrate(terminal(HMAC, memory=memory).receive(HELLO)) == expected
