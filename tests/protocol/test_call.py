"""A call from both sides: every state × everything that can happen, and who is called when."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.protocol.auth import Scheme
from hostemu.protocol.call import CallState, IspCall, TerminalCall
from hostemu.protocol.calling import CallBook, CallSchedule
from hostemu.protocol.events import Delivered, Event, Failed, Refused, Retrieved, Send, Served
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import Call, Challenge, Hello, Information, Message, Receipt, Report, Start
from tests.protocol.builders import (
    CREDENTIALS,
    DEVICE_ID,
    HMAC,
    INFORMATION,
    ISP_NONCE,
    MS,
    STREAM,
    XOR,
    sent,
    terminal,
    unseal,
)
from tests.protocol.narrate import narrate

KEYS = {DEVICE_ID: CREDENTIALS.shared_key}
BEGAN_NS = 5_000 * MS


def isp_call(scheme: Scheme = HMAC, keys: dict[int, bytes] = KEYS) -> IspCall:
    """The ISP server's side, from BEGAN_NS on."""
    return IspCall(keys, scheme, ISP_NONCE, STREAM, BEGAN_NS)


def terminal_call(scheme: Scheme = HMAC, attempt: int = 2) -> TerminalCall:
    """The terminal's side, connected at BEGAN_NS."""
    call = TerminalCall(terminal(scheme), attempt, STREAM)
    call.begin(BEGAN_NS - 10 * MS)
    return call


@dataclass
class Told:
    """What was said, and what it came to."""

    spoken: list[str] = field(default_factory=list)
    ends: list[Event] = field(default_factory=list)

    def note(self, events: list[Event]) -> list[Message]:
        messages = sent(events)
        self.spoken += [type(message).__name__ for message in messages]
        self.ends += [event for event in events if not isinstance(event, Send)]
        return messages


def talk(call: TerminalCall, taken: IspCall) -> Told:
    """Let them talk to the end over a perfect connection."""
    told = Told()
    to_isp = told.note(call.opened(BEGAN_NS))
    while to_isp:
        to_terminal = [m for got in to_isp for m in told.note(taken.receive(got, BEGAN_NS + 40 * MS))]
        to_isp = [m for got in to_terminal for m in told.note(call.receive(got, BEGAN_NS + 50 * MS))]
    return told


@pytest.mark.parametrize("scheme", [HMAC, XOR], ids=["hmac-sha256", "xor"])
def test_a_call_is_the_same_exchange_between_a_name_and_a_receipt(scheme: Scheme) -> None:
    taken = isp_call(scheme)
    told = talk(terminal_call(scheme), taken)
    assert told.spoken == ["Call", "Hello", "Challenge", "Request", "Information", "Receipt"]
    served, retrieved, delivered = told.ends
    assert (served, delivered) == (Served(), Delivered())
    assert isinstance(retrieved, Retrieved)
    assert retrieved.elapsed_ns == 40 * MS
    assert unseal(scheme, retrieved) == INFORMATION
    assert taken.caller == Call(DEVICE_ID, 2)


def test_a_terminal_that_is_on_no_list_is_refused_for_ever() -> None:
    told = talk(terminal_call(), isp_call(keys={}))
    assert told.spoken == ["Call", "Refusal"]
    unknown = Reason.UNKNOWN_DEVICE
    assert told.ends == [Failed(unknown, 40 * MS), Refused(unknown), Failed(unknown, 60 * MS)]


def test_nobody_else_is_taken_for_the_terminal() -> None:
    """A wrong key fails the call, and says nothing of the terminal."""
    taken = isp_call(keys={DEVICE_ID: b"another key of 16"[:16]})
    told = talk(terminal_call(), taken)
    assert told.spoken == ["Call", "Hello", "Challenge", "Refusal"]
    assert Failed(Reason.WRONG_KEY, 40 * MS) in told.ends
    assert taken.caller is None


# what has happened before → (the next message, a broken connection, time over)
ISP_STEPS: dict[str, tuple[tuple[type, ...], tuple[str, str, str]]] = {
    "accepted": ((), ("Hello", "failed RESET", "failed TIMEOUT")),
    "called": ((Call,), ("Request", "failed RESET", "failed TIMEOUT")),
    "proved": ((Call, Challenge), ("Receipt, retrieved", "failed RESET", "failed TIMEOUT")),
    "over": ((Call, Challenge, Information), ("", "", "")),
}


def isp_after(messages: tuple[type, ...]) -> tuple[IspCall, Message]:
    """The ISP server's side after these messages of a terminal's, and the terminal's next one."""
    call, taken = terminal_call(), isp_call()
    (message,) = sent(call.opened(BEGAN_NS))
    for kind in messages:
        assert isinstance(message, kind)
        (answer,) = sent(taken.receive(message, BEGAN_NS))
        message = next(iter(sent(call.receive(answer, BEGAN_NS))), message)
    return taken, message


@pytest.mark.parametrize("before", ISP_STEPS)
def test_the_isp_server_does_what_the_table_says(before: str) -> None:
    messages, (by_message, by_break, by_time) = ISP_STEPS[before]
    taken, message = isp_after(messages)
    assert narrate(taken.timer(BEGAN_NS + STREAM.answer_timeout_ns - 1)) == ""
    assert narrate(taken.receive(message, BEGAN_NS)) == by_message
    for happen, expected in (
        (lambda it: it.broken(Reason.RESET, BEGAN_NS), by_break),
        (lambda it: it.timer(BEGAN_NS + STREAM.answer_timeout_ns), by_time),
        (lambda it: it.receive(Start(1), BEGAN_NS), "Refusal UNEXPECTED, failed UNEXPECTED" if by_break else ""),
    ):
        taken, _ = isp_after(messages)
        assert narrate(happen(taken)) == expected
        assert taken.timer_at_ns is None


# what has happened before: (a hello comes, the connection breaks, time is over)
TERMINAL_TABLE: dict[CallState, tuple[str, str, str]] = {
    CallState.CONNECTING: ("", "failed RESET", "failed SILENT"),
    CallState.TALKING: ("Challenge", "failed RESET", "failed TIMEOUT"),
    CallState.CLOSED: ("", "", ""),
}


def terminal_in(state: CallState) -> TerminalCall:
    """A call that was led into `state`."""
    call = terminal_call()
    if state is not CallState.CONNECTING:
        call.opened(BEGAN_NS)
    if state is CallState.CLOSED:
        call.broken(Reason.LOCAL, BEGAN_NS)
    assert call.state is state
    return call


@pytest.mark.parametrize("state", TERMINAL_TABLE, ids=lambda state: state.name)
def test_the_terminal_does_what_the_table_says(state: CallState) -> None:
    later_ns = BEGAN_NS + 10_000 * MS
    by_hello, by_break, by_time = TERMINAL_TABLE[state]
    assert narrate(terminal_in(state).receive(Hello(DEVICE_ID, ISP_NONCE), BEGAN_NS)) == by_hello
    assert narrate(terminal_in(state).broken(Reason.RESET, BEGAN_NS)) == by_break
    assert narrate(terminal_in(state).timer(later_ns)) == by_time
    assert narrate(terminal_in(state).timer(BEGAN_NS)) == ""


def test_a_receipt_that_anybody_could_have_written_ends_nothing_well() -> None:
    call, taken = terminal_call(), isp_call()
    (message,) = sent(call.opened(BEGAN_NS))
    for _ in range(2):
        (answer,) = sent(taken.receive(message, BEGAN_NS))
        (message,) = sent(call.receive(answer, BEGAN_NS))
    events = call.receive(Receipt(bytes(16)), BEGAN_NS)
    assert narrate(events) == "Refusal WRONG_KEY, refused WRONG_KEY, failed WRONG_KEY"


def test_a_terminal_calls_until_it_has_a_receipt() -> None:
    schedule = CallSchedule(interval_ns=7, max_attempts=3)
    assert schedule.begin() == 1
    assert schedule.failed(Reason.REFUSED, 100) == 107
    assert not schedule.is_over
    assert schedule.begin() == 2
    schedule.delivered()
    assert schedule.is_over


@pytest.mark.parametrize(("reason", "calls"), [(Reason.RESET, 3), (Reason.UNKNOWN_DEVICE, 1), (Reason.WRONG_KEY, 1)])
def test_a_terminal_gives_up_after_max_attempts_or_for_good_reason(reason: Reason, calls: int) -> None:
    schedule = CallSchedule(interval_ns=7, max_attempts=3)
    while not schedule.is_over:
        schedule.begin()
        schedule.failed(reason, 0)
    assert schedule.attempts == calls


RETRIEVED = Retrieved(ISP_NONCE, b"sealed", 40)


@given(
    slots=st.integers(1, 4),
    calls=st.lists(
        st.tuples(st.integers(0, 3), st.integers(1, 4), st.sampled_from([RETRIEVED, *(Failed(r, 9) for r in Reason)]))
    ),
)
def test_every_terminal_is_reported_once_and_no_more_calls_are_served_than_there_are_slots(
    slots: int, calls: list[tuple[int, int, Retrieved | Failed]]
) -> None:
    book = CallBook(range(3), slots, max_attempts=3)
    reports: dict[int, Report] = {}
    for device_id, attempt, event in calls:
        for _ in range(slots):
            assert book.has_room
            book.take()
        assert not book.has_room
        for _ in range(slots - 1):
            assert book.ended(None, RETRIEVED) is None
        report = book.ended(Call(device_id, attempt), event)
        if report is None:
            permanent = isinstance(event, Failed) and event.reason in (Reason.WRONG_KEY, Reason.UNKNOWN_DEVICE)
            is_last = isinstance(event, Retrieved) or attempt >= 3 or permanent
            assert device_id in reports or device_id == 3 or not is_last
            continue
        assert report.device_id not in reports
        reports[report.device_id] = report
        assert (report.attempts, report.exchange_ns) == (attempt, event.elapsed_ns)
        assert (report.outcome is Outcome.RETRIEVED) == isinstance(event, Retrieved)
    assert book.left == 3 - len(reports)
