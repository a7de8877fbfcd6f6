"""Hypothesis strategies for the protocol's messages."""

from __future__ import annotations

from hypothesis import strategies as st

from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import (
    MAX_FRAME_BYTES,
    Call,
    Challenge,
    Command,
    Done,
    Hello,
    Information,
    Message,
    Receipt,
    Refusal,
    Report,
    Request,
    Start,
    Target,
)

U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
SHORT = st.binary(max_size=40)
LONG = st.one_of(st.binary(max_size=400), st.integers(0, MAX_FRAME_BYTES // 3).map(bytes))
REASONS = st.sampled_from(Reason)
CAUSES = st.sampled_from([reason for reason in Reason if reason is not Reason.NONE])

HELLOS = st.builds(Hello, U64, SHORT)
CHALLENGES = st.builds(Challenge, SHORT, SHORT)
REQUESTS = st.builds(Request, LONG)
INFORMATIONS = st.builds(Information, LONG, SHORT)
REFUSALS = st.builds(Refusal, CAUSES)
CALLS = st.builds(Call, U64, U32)
RECEIPTS = st.builds(Receipt, SHORT)
ADDRESSES = st.binary(min_size=4, max_size=4) | st.binary(min_size=16, max_size=16)
TARGETS = st.builds(Target, U64, ADDRESSES, U16)
COMMANDS = st.builds(Command, st.lists(TARGETS, max_size=12).map(tuple))
STARTS = st.builds(Start, U64)
REPORTS = st.builds(Report, U64, st.sampled_from(Outcome), REASONS, U32, U64, SHORT, LONG)
DONES = st.builds(Done, U64)

MESSAGES: st.SearchStrategy[Message] = st.one_of(
    HELLOS, CHALLENGES, REQUESTS, INFORMATIONS, REFUSALS, CALLS, RECEIPTS, COMMANDS, STARTS, REPORTS, DONES
)
