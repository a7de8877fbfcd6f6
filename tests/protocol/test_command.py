"""Center and ISP server program: every state × everything that can happen, and the accounting of a list."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.protocol.command import (
    JOB_TRANSITIONS,
    SERVICE_TRANSITIONS,
    TARGETS_PER_COMMAND,
    CenterJob,
    IspService,
    JobState,
)
from hostemu.protocol.events import Begin, Event, Finished, Refused, Send, Stored
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
    Target,
    decode_datagram,
    encode,
)
from tests.protocol.builders import HMAC, INFORMATION, ISP_NONCE, OWN_SECRET, XOR, credentials_of, sent
from tests.protocol.narrate import narrate

TARGETS = tuple(Target(device_id, bytes([192, 0, 2, device_id]), 4000) for device_id in (1, 2))
STATES = tuple(JobState)


def report_of(device_id: int) -> Report:
    """A good one, sealed by the terminal."""
    sealed = HMAC.seal(credentials_of(device_id).own_key, device_id, ISP_NONCE, INFORMATION)
    return Report(device_id, Outcome.RETRIEVED, Reason.NONE, 2, 41, ISP_NONCE, sealed)


MESSAGES: dict[str, Message] = {
    "HELLO": Hello(1, ISP_NONCE),
    "CHALLENGE": Challenge(b"", b""),
    "REQUEST": Request(b""),
    "INFORMATION": Information(b"", b""),
    "REFUSAL": Refusal(Reason.LOCAL),
    "CALL": Call(1, 1),
    "RECEIPT": Receipt(b""),
    "COMMAND": Command(TARGETS),
    "START": Start(2),
    "REPORT": report_of(1),
    "DONE": Done(2),
    "start of another length": Start(3),
    "report of a stranger": report_of(3),
    "report of a pending terminal": Report(1, Outcome.PENDING, Reason.NONE, 0, 0, b"", b""),
    "report of a failure": Report(1, Outcome.FAILED, Reason.SILENT, 60, 0, b"", b""),
    "report with a broken seal": replace(report_of(1), sealed=b"forged"),
}

NO = "Refusal UNEXPECTED, refused UNEXPECTED → CLOSED"
RESET = "refused RESET → CLOSED"

# what happens to an ISP server program: (when IDLE, when LISTED, when RUNNING, when CLOSED)
SERVICE_TABLE: dict[str, tuple[str, str, str, str]] = {
    "HELLO": (NO, NO, NO, " → CLOSED"),
    "CHALLENGE": (NO, NO, NO, " → CLOSED"),
    "REQUEST": (NO, NO, NO, " → CLOSED"),
    "INFORMATION": (NO, NO, NO, " → CLOSED"),
    "REFUSAL": (NO, NO, NO, " → CLOSED"),
    "CALL": (NO, NO, NO, " → CLOSED"),
    "RECEIPT": (NO, NO, NO, " → CLOSED"),
    "COMMAND": (" → LISTED", " → LISTED", NO, " → CLOSED"),
    "START": (NO, "begin → RUNNING", NO, " → CLOSED"),
    "REPORT": (NO, NO, NO, " → CLOSED"),
    "DONE": (NO, NO, NO, " → CLOSED"),
    "start of another length": (NO, "Refusal MALFORMED, refused MALFORMED → CLOSED", NO, " → CLOSED"),
    "broken": (RESET, RESET, RESET, " → CLOSED"),
}

LOST = "lost 1 UNEXPECTED, lost 2 UNEXPECTED, finished → CLOSED"
LEFT = "lost 1 RESET, lost 2 RESET, finished → CLOSED"

# what happens to a center's job of two terminals: (when IDLE, when RUNNING, when CLOSED)
JOB_TABLE: dict[str, tuple[str, str, str]] = {
    "HELLO": (LOST, LOST, " → CLOSED"),
    "CHALLENGE": (LOST, LOST, " → CLOSED"),
    "REQUEST": (LOST, LOST, " → CLOSED"),
    "INFORMATION": (LOST, LOST, " → CLOSED"),
    "REFUSAL": (LOST, "lost 1 LOCAL, lost 2 LOCAL, finished → CLOSED", " → CLOSED"),
    "CALL": (LOST, LOST, " → CLOSED"),
    "RECEIPT": (LOST, LOST, " → CLOSED"),
    "COMMAND": (LOST, LOST, " → CLOSED"),
    "START": (LOST, LOST, " → CLOSED"),
    "REPORT": (LOST, "stored 1 → RUNNING", " → CLOSED"),
    "DONE": (LOST, "lost 1 PROGRAM_LOST, lost 2 PROGRAM_LOST, finished → CLOSED", " → CLOSED"),
    "report of a stranger": (LOST, LOST, " → CLOSED"),
    "report of a pending terminal": (LOST, LOST, " → CLOSED"),
    "report of a failure": (LOST, "lost 1 SILENT → RUNNING", " → CLOSED"),
    "report with a broken seal": (LOST, "lost 1 BAD_SEAL → RUNNING", " → CLOSED"),
    "broken": (LEFT, LEFT, " → CLOSED"),
}
JOB_STATES = (JobState.IDLE, JobState.RUNNING, JobState.CLOSED)


def service_in(state: JobState) -> IspService:
    """A program that was led into `state`."""
    service = IspService()
    path: dict[JobState, tuple[Message, ...]] = {
        JobState.IDLE: (),
        JobState.LISTED: (Command(TARGETS),),
        JobState.RUNNING: (Command(TARGETS), Start(2)),
        JobState.CLOSED: (Done(0),),
    }
    for message in path[state]:
        service.receive(message)
    return service


def job_in(state: JobState) -> CenterJob:
    """A job of two terminals that was led into `state`."""
    job = CenterJob(TARGETS, HMAC, OWN_SECRET)
    if state is not JobState.IDLE:
        job.opened(1000)
    if state is JobState.CLOSED:
        job.broken(Reason.RESET, 1000)
    return job


@pytest.mark.parametrize("what", SERVICE_TABLE)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.name)
def test_the_isp_server_program_does_what_the_table_says(what: str, state: JobState) -> None:
    service = service_in(state)
    assert service.state is state
    events = service.broken(Reason.RESET) if what == "broken" else service.receive(MESSAGES[what])
    assert f"{narrate(events)} → {service.state.name}" == SERVICE_TABLE[what][STATES.index(state)]


@pytest.mark.parametrize("what", JOB_TABLE)
@pytest.mark.parametrize("state", JOB_STATES, ids=lambda state: state.name)
def test_the_center_does_what_the_table_says(what: str, state: JobState) -> None:
    job = job_in(state)
    assert job.state is state
    events = job.broken(Reason.RESET, 1000) if what == "broken" else job.receive(MESSAGES[what], 1000)
    assert f"{narrate(events)} → {job.state.name}" == JOB_TABLE[what][JOB_STATES.index(state)]


@pytest.mark.parametrize("table", [SERVICE_TABLE, JOB_TABLE])
def test_the_tables_have_every_message_type(table: dict[str, object]) -> None:
    assert {kind.name for kind in MessageType} == {what for what in table if what.isupper()}
    assert all(MESSAGES[kind.name].type is kind for kind in MessageType)


def test_the_code_has_no_transition_that_the_tables_would_not_know() -> None:
    open_states = [state for state in STATES if state is not JobState.CLOSED]
    assert set(SERVICE_TRANSITIONS) == {
        (state, kind)
        for state in open_states
        for kind in MessageType
        if SERVICE_TABLE[kind.name][STATES.index(state)] != NO
    }
    running = {(JobState.RUNNING, kind) for kind in MessageType if JOB_TABLE[kind.name][1] != LOST}
    assert set(JOB_TRANSITIONS) == running


@given(st.integers(1, 3 * TARGETS_PER_COMMAND + 1))
def test_a_list_of_any_length_arrives_complete(total: int) -> None:
    targets = tuple(Target(device_id, bytes(4), 4000) for device_id in range(total))
    service = IspService()
    frames = [encode(message) for message in sent(CenterJob(targets, HMAC, OWN_SECRET).opened(0))]
    events = [event for frame in frames for event in service.receive(decode_datagram(frame))]
    assert events == [Begin()]
    assert service.targets == list(targets)


def test_a_whole_list_is_accounted_for() -> None:
    job, service = CenterJob(TARGETS, HMAC, OWN_SECRET), IspService()
    for message in sent(job.opened(1000)):
        service.receive(message)
    events: list[Event] = []
    for message in (report_of(2), report_of(1), *sent(service.done())):
        events += job.receive(message, 1500)
    plain = [replace(report_of(device_id), sealed=INFORMATION) for device_id in (2, 1)]
    assert events == [*(Stored(report, 500) for report in plain), Finished()]
    assert (job.state, service.state) == (JobState.CLOSED, JobState.CLOSED)
    assert job.pending == {}


def test_stored_times_count_from_the_command() -> None:
    job = CenterJob(TARGETS, HMAC, OWN_SECRET)
    job.opened(1_000_000)
    (stored,) = job.receive(report_of(1), 1_000_700)
    assert isinstance(stored, Stored)
    assert stored.at_ns == 700


def test_a_terminal_that_is_reported_twice_loses_the_list_but_not_what_was_stored() -> None:
    job = job_in(JobState.RUNNING)
    job.receive(report_of(1), 1000)
    assert narrate(job.receive(report_of(1), 1000)) == "lost 2 UNEXPECTED, finished"


def test_what_is_lost_is_reported_as_failed_without_information() -> None:
    job = job_in(JobState.RUNNING)
    (first, second, last) = job.broken(Reason.PROGRAM_LOST, 1600)
    assert job.pending == {}
    assert first == Stored(Report(1, Outcome.FAILED, Reason.PROGRAM_LOST, 0, 0, b"", b""), 600)
    assert second == Stored(Report(2, Outcome.FAILED, Reason.PROGRAM_LOST, 0, 0, b"", b""), 600)
    assert last == Finished()


def test_a_list_whose_command_was_never_given_is_lost_at_time_0() -> None:
    events = job_in(JobState.IDLE).broken(Reason.REFUSED, 123_456_789)
    assert [event.at_ns for event in events if isinstance(event, Stored)] == [0, 0]


def test_a_broken_seal_keeps_the_numbers_and_drops_the_information() -> None:
    forged = replace(report_of(1), sealed=report_of(2).sealed)
    (stored,) = job_in(JobState.RUNNING).receive(forged, 1000)
    assert stored == Stored(replace(forged, outcome=Outcome.FAILED, reason=Reason.BAD_SEAL, sealed=b""), 0)


def test_information_sealed_for_another_exchange_is_a_broken_seal() -> None:
    replayed = replace(report_of(1), isp_nonce=bytes(16))
    assert narrate(job_in(JobState.RUNNING).receive(replayed, 1000)) == "lost 1 BAD_SEAL"


def test_with_xor_the_center_reads_what_nobody_in_between_should() -> None:
    job = CenterJob(TARGETS, XOR, OWN_SECRET)
    job.opened(0)
    sealed = XOR.seal(credentials_of(1).own_key, 1, ISP_NONCE, INFORMATION)
    (stored,) = job.receive(replace(report_of(1), sealed=sealed), 0)
    assert isinstance(stored, Stored)
    assert stored.report.sealed == INFORMATION
    assert INFORMATION not in sealed


REASONS = st.sampled_from([Reason.RESET, Reason.DEADLINE, Reason.MALFORMED])
STEPS = st.lists(st.one_of(st.sampled_from(sorted(MESSAGES)), REASONS), max_size=8)


@given(total=st.integers(1, 4), steps=STEPS)
def test_whatever_the_isp_server_does_each_terminal_is_stored_once_and_the_job_finishes_once(
    total: int, steps: list[str | Reason]
) -> None:
    targets = [Target(device_id, bytes(4), 4000) for device_id in range(1, total + 1)]
    job = CenterJob(targets, HMAC, OWN_SECRET)
    events = job.opened(0)
    for now_ns, step in enumerate([*steps, Reason.DEADLINE]):
        events += job.broken(step, now_ns) if isinstance(step, Reason) else job.receive(MESSAGES[step], now_ns)
    stored = [event.report.device_id for event in events if isinstance(event, Stored)]
    assert sorted(stored) == [target.device_id for target in targets]
    assert events.count(Finished()) == 1
    assert events[-1] == Finished()
    assert job.state is JobState.CLOSED


@given(STEPS)
def test_whatever_the_center_does_the_program_begins_and_refuses_at_most_once(steps: list[str | Reason]) -> None:
    service = IspService()
    events: list[Event] = []
    for step in steps:
        events += service.broken(step) if isinstance(step, Reason) else service.receive(MESSAGES[step])
    assert events.count(Begin()) <= 1
    assert sum(isinstance(event, Refused) for event in events) <= 1
    assert sum(isinstance(event, Send) for event in events) <= 1
