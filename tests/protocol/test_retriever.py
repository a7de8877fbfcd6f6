"""The schedule of a list, driven through random courses and checked against a plain model of what it promises."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.retriever import PERMANENT, Retriever, RetryPolicy

PASSING = tuple(reason for reason in Reason if reason not in PERMANENT and reason is not Reason.NONE)
BOTH = pytest.mark.parametrize("keeps_slot", [True, False], ids=["keeps its slot", "queues again"])
POLICIES = st.builds(
    RetryPolicy, interval_ns=st.sampled_from([0, 1, 10]), max_attempts=st.integers(1, 4), keeps_slot=st.booleans()
)

Course = list[tuple[int, int, Reason]]
COURSES: st.SearchStrategy[Course] = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.integers(0, 12),
        st.one_of(st.just(Reason.NONE), st.sampled_from(PASSING), st.sampled_from(sorted(PERMANENT))),
    ),
    max_size=60,
)
"""Steps of a run: which of the terminals in contact ends, how long after the last step, and how (NONE: well)."""


@dataclass
class Run:
    """Drives a retriever as a program would, and keeps the model's own account of everything."""

    total: int
    concurrency: int
    retry: RetryPolicy
    now_ns: int = 0
    in_contact: list[int] = field(default_factory=list)
    started: list[int] = field(default_factory=list)
    ended: dict[int, tuple[Outcome, Reason]] = field(default_factory=dict)
    waiting: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.retriever = Retriever(self.total, self.concurrency, self.retry)
        self.start(self.retriever.wake(0))

    def start(self, indexes: list[int]) -> None:
        """Take note of what is to be attempted, and check all that must hold."""
        for index in indexes:
            assert index not in self.in_contact
            assert index not in self.ended
            assert self.waiting.pop(index, 0) <= self.now_ns, "not before its pause is over"
            self.in_contact.append(index)
            self.started.append(index)
        self.check()

    def end(self, position: int, reason: Reason) -> None:
        """One of the terminals in contact ends so."""
        index = self.in_contact.pop(position % len(self.in_contact))
        is_last = reason in PERMANENT or self.started.count(index) == self.retry.max_attempts
        if reason is Reason.NONE:
            self.ended[index] = (Outcome.RETRIEVED, Reason.NONE)
            self.start(self.retriever.succeeded(index, self.now_ns))
            return
        if is_last:
            self.ended[index] = (Outcome.FAILED, reason)
        else:
            self.waiting[index] = self.now_ns + self.retry.interval_ns
        self.start(self.retriever.failed(index, reason, self.now_ns))

    def advance(self, to_ns: int) -> None:
        """Let time pass, waking whenever it is asked for; each wake must start something."""
        while (wake_ns := self.retriever.next_wake_ns) is not None and wake_ns <= to_ns:
            self.now_ns = max(self.now_ns, wake_ns)
            started = self.retriever.wake(self.now_ns)
            assert started != [], "a wake that starts nothing"
            self.start(started)
        self.now_ns = max(self.now_ns, to_ns)
        assert self.retriever.wake(self.now_ns) == [], "something was due that nobody was woken for"

    def check(self) -> None:
        """What holds at any time."""
        retriever = self.retriever
        slots = len(self.in_contact) + (len(self.waiting) if self.retry.keeps_slot else 0)
        unseen = self.total - len(set(self.started))
        assert slots <= self.concurrency
        assert slots == self.concurrency or not unseen, "a free slot beside a terminal that was never tried"
        assert retriever.left == self.total - len(self.ended)
        assert retriever.attempts == [self.started.count(index) for index in range(self.total)]
        assert max(retriever.attempts, default=0) <= self.retry.max_attempts
        assert [retriever.outcome[index] for index in self.ended] == [outcome for outcome, _ in self.ended.values()]
        assert retriever.outcome.count(Outcome.PENDING) == retriever.left
        self.check_next_wake()

    def check_next_wake(self) -> None:
        """None when only an answer helps, else when the first pause is over."""
        has_slot = self.retry.keeps_slot or len(self.in_contact) < self.concurrency
        expected_ns = min(self.waiting.values()) if self.waiting and has_slot else None
        assert self.retriever.next_wake_ns == expected_ns
        assert expected_ns is not None or self.in_contact or not self.retriever.left, "nothing will ever happen again"

    def play(self, course: Course) -> None:
        """Play the course, then let whatever is left be retrieved."""
        for position, pause_ns, reason in course:
            self.advance(self.now_ns + pause_ns)
            if self.in_contact:
                self.end(position, reason)
        while self.retriever.left:
            if self.in_contact:
                self.end(0, Reason.NONE)
            else:
                wake_ns = self.retriever.next_wake_ns
                assert wake_ns is not None
                self.advance(wake_ns)


@given(total=st.integers(0, 12), concurrency=st.integers(1, 6), retry=POLICIES, course=COURSES)
def test_every_course_keeps_all_promises_and_ends(
    total: int, concurrency: int, retry: RetryPolicy, course: Course
) -> None:
    run = Run(total, concurrency, retry)
    run.play(course)
    retriever = run.retriever
    assert retriever.left == 0
    assert retriever.next_wake_ns is None
    assert {index: (retriever.outcome[index], retriever.reason[index]) for index in range(total)} == run.ended


@given(total=st.integers(1, 8), concurrency=st.integers(1, 4), retry=POLICIES)
def test_terminals_that_never_answer_are_given_up_after_all_their_attempts(
    total: int, concurrency: int, retry: RetryPolicy
) -> None:
    run = Run(total, concurrency, retry)
    while run.retriever.left:
        if run.in_contact:
            run.end(0, Reason.SILENT)
        else:
            assert run.retriever.next_wake_ns is not None
            run.advance(run.retriever.next_wake_ns)
    assert run.retriever.attempts == [retry.max_attempts] * total
    assert run.retriever.outcome == [Outcome.FAILED] * total
    assert run.retriever.reason == [Reason.SILENT] * total


def policy(*, keeps_slot: bool, interval_ns: int = 10, max_attempts: int = 3) -> RetryPolicy:
    """A policy for an example."""
    return RetryPolicy(interval_ns=interval_ns, max_attempts=max_attempts, keeps_slot=keeps_slot)


@BOTH
@pytest.mark.parametrize("reason", sorted(PERMANENT))
def test_what_another_attempt_cannot_mend_is_not_tried_again(keeps_slot: bool, reason: Reason) -> None:
    retriever = Retriever(2, 1, policy(keeps_slot=keeps_slot))
    assert retriever.wake(0) == [0]
    assert retriever.failed(0, reason, 0) == [1]
    assert (retriever.outcome[0], retriever.reason[0], retriever.attempts[0]) == (Outcome.FAILED, reason, 1)
    assert retriever.next_wake_ns is None


@BOTH
@pytest.mark.parametrize("reason", PASSING)
def test_every_other_reason_is_worth_another_attempt(keeps_slot: bool, reason: Reason) -> None:
    retriever = Retriever(1, 1, policy(keeps_slot=keeps_slot))
    assert retriever.wake(0) == [0]
    assert retriever.failed(0, reason, 5) == []
    assert (retriever.outcome[0], retriever.reason[0]) == (Outcome.PENDING, reason)
    assert retriever.next_wake_ns == 15
    assert retriever.wake(14) == []
    assert retriever.wake(15) == [0]
    assert retriever.succeeded(0, 20) == []
    assert (retriever.outcome[0], retriever.reason[0], retriever.attempts[0]) == (Outcome.RETRIEVED, Reason.NONE, 2)


def test_a_terminal_that_keeps_its_slot_lets_nobody_in_while_it_waits() -> None:
    retriever = Retriever(3, 1, policy(keeps_slot=True))
    assert retriever.wake(0) == [0]
    assert retriever.failed(0, Reason.SILENT, 0) == []
    assert retriever.wake(9) == []
    assert retriever.wake(10) == [0]
    assert retriever.succeeded(0, 11) == [1]


def test_a_terminal_that_queues_again_lets_the_others_pass_first() -> None:
    retriever = Retriever(3, 1, policy(keeps_slot=False, interval_ns=0))
    assert retriever.wake(0) == [0]
    assert retriever.failed(0, Reason.SILENT, 0) == [1]
    assert retriever.failed(1, Reason.SILENT, 1) == [2]
    assert retriever.next_wake_ns is None
    assert retriever.succeeded(2, 2) == [0]
    assert retriever.succeeded(0, 3) == [1]


@BOTH
def test_pauses_that_end_together_are_served_in_the_order_of_the_failures(keeps_slot: bool) -> None:
    retriever = Retriever(3, 3, policy(keeps_slot=keeps_slot))
    assert retriever.wake(0) == [0, 1, 2]
    for index in (2, 0, 1):
        assert retriever.failed(index, Reason.RESET, 0) == []
    assert retriever.wake(10) == [2, 0, 1]


@BOTH
def test_no_terminal_starves_while_another_fails_for_ever(keeps_slot: bool) -> None:
    """Terminal 0 always fails; all the others are through before it has used up its attempts."""
    retriever = Retriever(6, 2, policy(keeps_slot=keeps_slot, interval_ns=1, max_attempts=1000))
    running = deque(retriever.wake(0))
    for now_ns in range(1, 100):
        index = running.popleft() if running else None
        if index is not None:
            ended = retriever.failed(0, Reason.SILENT, now_ns) if index == 0 else retriever.succeeded(index, now_ns)
            running.extend(ended)
        running.extend(retriever.wake(now_ns))
    assert retriever.outcome == [Outcome.PENDING] + [Outcome.RETRIEVED] * 5
    assert retriever.attempts[0] > 5


@BOTH
def test_an_empty_list_is_done_at_once(keeps_slot: bool) -> None:
    retriever = Retriever(0, 5, policy(keeps_slot=keeps_slot))
    assert retriever.wake(0) == []
    assert (retriever.left, retriever.next_wake_ns) == (0, None)


def test_permanent_reasons_are_about_identity() -> None:
    assert frozenset({Reason.WRONG_KEY, Reason.UNKNOWN_DEVICE}) == PERMANENT


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason is not Reason.NONE])
def test_an_exchange_that_broke_is_not_repeated_where_only_vain_calls_are(reason: Reason) -> None:
    retry = RetryPolicy(interval_ns=5, max_attempts=9, keeps_slot=True, after_contact=False)
    retriever = Retriever(1, 1, retry)
    assert retriever.wake(0) == [0]
    retriever.failed(0, reason, 1)
    is_repeated = reason in (Reason.REFUSED, Reason.SILENT, Reason.UNREACHABLE)
    assert retriever.outcome == [Outcome.PENDING if is_repeated else Outcome.FAILED]
    assert retriever.wake(6) == ([0] if is_repeated else [])


@given(
    total=st.integers(0, 20),
    slots=st.integers(1, 6),
    attempts=st.integers(1, 3),
    picks=st.lists(st.tuples(st.integers(0, 100), st.booleans()), max_size=100),
)
def test_a_slot_with_a_part_of_its_own_works_through_it_in_order(
    total: int, slots: int, attempts: int, picks: list[tuple[int, bool]]
) -> None:
    retry = RetryPolicy(interval_ns=5, max_attempts=attempts, keeps_slot=True, partitioned=True)
    retriever, now_ns = Retriever(total, slots, retry), 0
    contact = retriever.wake(0)
    assert contact == list(range(min(slots, total)))
    seen = list(contact)
    for pick, is_well in picks + [(0, True)] * (total * attempts):
        if not contact:
            if retriever.next_wake_ns is None:
                break
            now_ns = retriever.next_wake_ns
            contact = retriever.wake(now_ns)
        index = contact.pop(pick % len(contact))
        started = retriever.succeeded(index, now_ns) if is_well else retriever.failed(index, Reason.REFUSED, now_ns)
        done = retriever.outcome[index] is not Outcome.PENDING
        assert started == ([index + slots] if done and index + slots < total else [])
        seen += started
        contact += started
    assert retriever.left == 0
    assert sorted(seen) == list(range(total))
