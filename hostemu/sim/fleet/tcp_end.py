"""One end of a TCP connection, compiled, and the frames that it sends: `hostemu.sim.tcp`, one message at a time.

Messages take turns, fit into a segment each and carry what they acknowledge.  So each end has at most one on its
way, and there is never a gap to fill, a window to heed or an acknowledgement to hold back.  Sequence numbers count
messages instead of bytes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hostemu.lines.compiling import compiled
from hostemu.sim.fleet.codes import NONE, SILENT, TIMEOUT
from hostemu.sim.fleet.losses import Attempt, is_lost
from hostemu.sim.fleet.rules import Rules
from hostemu.sim.packets import ACK, RST, SYN
from hostemu.sim.tcp import (
    DATA_RETRIES,
    DUPLICATES,
    INITIAL_RTO_NS,
    MAXIMUM_RTO_NS,
    MINIMUM_RTO_NS,
    SYN_ACK_RETRIES,
    SYN_RETRIES,
)

Array = npt.NDArray[Any]

CLOSED, SYN_SENT, SYN_RECEIVED, ESTABLISHED = 0, 1, 2, 3
ISP, TERMINAL = 0, 1
"""The ends.  Frames of the one go DOWN, of the other UP."""

NEVER = 2**62
IN_FLIGHT = 64
"""More frames than an end ever has on their way."""

END = np.dtype(
    [
        (name, np.int64)
        for name in (
            "state",
            "first",  # message that is not acknowledged yet
            "next",  # message to be sent next
            "queued",  # messages that the program has given
            "expected",  # message of the other end that comes next
            "timer_ns",
            "retries",
            "timed_ns",  # when what is timed was sent; -1: nothing is
            "smooth_ns",
            "variation_ns",
            "rto_ns",
            "duplicates",
            "is_recovering",
            "is_deaf",
        )
    ]
)
FRAME = np.dtype([(name, np.int64) for name in ("due_ns", "flags", "sequence", "acknowledgement", "messages")])


class Talk(NamedTuple):
    """What goes on in an attempt.  ends: END by end.

    frames, heads, tails: a ring of frames on their way, by sender.  sent: number of frames, by sender and kind.
    """

    rules: Rules
    attempt: Attempt
    ends: Array
    frames: Array
    heads: Array
    tails: Array
    sent: Array


@compiled
def new_talk(rules: Rules, attempt: Attempt) -> Talk:
    """An attempt of which nothing has been sent yet."""
    frames, ends = np.zeros((2, IN_FLIGHT), FRAME), np.zeros(2, END)
    heads, tails, sent = np.zeros(2, np.int64), np.zeros(2, np.int64), np.zeros((2, 2), np.int64)
    return Talk(rules, attempt, ends, frames, heads, tails, sent)


@compiled
def send(talk: Talk, end: int, now_ns: int, flags: int, sequence: int, messages: int) -> None:
    """Send a frame, which may be lost."""
    number = talk.sent[end, messages]
    talk.sent[end, messages] += 1
    if is_lost(talk.rules, talk.attempt, end, messages, number):
        return
    frame = talk.frames[end, talk.tails[end] % IN_FLIGHT]
    talk.tails[end] += 1
    frame.due_ns = now_ns + (talk.rules.out_ns if end == ISP else talk.rules.back_ns)
    frame.flags, frame.sequence, frame.messages = flags, sequence, messages
    frame.acknowledgement = talk.ends[end].expected


@compiled
def open_end(talk: Talk, end: int, now_ns: int, state: int) -> None:
    """A new connection, which sends its SYN."""
    me = talk.ends[end]
    me.first = me.next = me.queued = me.expected = 0
    me.retries = me.variation_ns = me.duplicates = me.is_recovering = me.is_deaf = 0
    me.state, me.smooth_ns, me.rto_ns, me.timed_ns = state, -1, INITIAL_RTO_NS, now_ns
    _send_opening(talk, end, now_ns)


@compiled
def _send_opening(talk: Talk, end: int, now_ns: int) -> None:
    me = talk.ends[end]
    send(talk, end, now_ns, SYN if me.state == SYN_SENT else SYN | ACK, 0, 0)
    me.timer_ns = now_ns + me.rto_ns


@compiled
def give(talk: Talk, end: int, now_ns: int) -> None:
    """The program has one more message."""
    me = talk.ends[end]
    me.queued += 1
    _send_message(talk, end, now_ns, me.next)
    me.next = me.queued
    if me.timed_ns < 0 and me.retries == 0 and not me.is_recovering:
        me.timed_ns = now_ns
    if me.timer_ns == NEVER:
        me.timer_ns = now_ns + me.rto_ns


@compiled
def close(talk: Talk, end: int, now_ns: int) -> None:
    """Reset the connection and forget it."""
    me = talk.ends[end]
    if me.state == ESTABLISHED:
        send(talk, end, now_ns, RST | ACK, me.next, 0)
    me.state, me.timer_ns = CLOSED, NEVER


@compiled
def _send_message(talk: Talk, end: int, now_ns: int, sequence: int) -> None:
    send(talk, end, now_ns, ACK, sequence, 1)


@compiled
def acknowledge(talk: Talk, end: int, now_ns: int) -> None:
    """Say what has come so far."""
    send(talk, end, now_ns, ACK, talk.ends[end].next, 0)


@compiled
def timed_out(talk: Talk, end: int, now_ns: int) -> int:
    """Nothing has come back in time; why the connection breaks, or NONE."""
    me = talk.ends[end]
    me.retries += 1
    me.timed_ns, me.timer_ns = -1, NEVER
    me.rto_ns = min(2 * me.rto_ns, MAXIMUM_RTO_NS)
    limit = DATA_RETRIES if me.state == ESTABLISHED else SYN_RETRIES if me.state == SYN_SENT else SYN_ACK_RETRIES
    if me.retries > limit:
        reason = TIMEOUT if me.state == ESTABLISHED else SILENT
        me.state = CLOSED
        return reason
    if me.state != ESTABLISHED:
        _send_opening(talk, end, now_ns)
        return NONE
    me.duplicates = me.is_recovering = 0
    _send_message(talk, end, now_ns, me.first)
    me.timer_ns = now_ns + me.rto_ns
    return NONE


@compiled
def take_opening(talk: Talk, end: int, now_ns: int) -> bool:
    """A SYN has come; whether the connection stands from now on."""
    me = talk.ends[end]
    if me.state == SYN_RECEIVED:
        send(talk, end, now_ns, SYN | ACK, 0, 0)
        return False
    acknowledge(talk, end, now_ns)
    if me.state == ESTABLISHED:
        return False
    establish(me, now_ns)
    return True


@compiled
def establish(me: Any, now_ns: int) -> None:
    """The connection stands."""
    me.state, me.timer_ns = ESTABLISHED, NEVER
    if me.timed_ns >= 0:
        _measure(me, now_ns - me.timed_ns)
    _reset_rto(me)
    me.timed_ns = -1
    me.retries = 0


@compiled
def take_acknowledgement(talk: Talk, end: int, now_ns: int, acknowledgement: int, messages: int) -> None:
    """What a segment acknowledges."""
    me = talk.ends[end]
    if me.first < acknowledgement <= me.queued:
        me.first = acknowledgement
        me.duplicates = me.retries = me.is_recovering = 0
        if me.timed_ns >= 0:
            _measure(me, now_ns - me.timed_ns)
        _reset_rto(me)
        me.timed_ns, me.timer_ns = -1, NEVER
    elif acknowledgement == me.first and messages == 0 and me.next > me.first:
        me.duplicates += 1
        if me.duplicates == DUPLICATES and not me.is_recovering:
            me.is_recovering = 1
            me.timed_ns = -1
            _send_message(talk, end, now_ns, me.first)


@compiled
def take_message(talk: Talk, end: int, now_ns: int, sequence: int) -> bool:
    """A segment with a message; whether it is the one that was expected.

    The first of a connection is acknowledged at once, and so is one that comes again; the others by their answers.
    """
    me = talk.ends[end]
    is_new = bool(sequence == me.expected)
    me.expected += int(is_new)
    if not is_new or me.expected == 1:
        acknowledge(talk, end, now_ns)
    return is_new


@compiled
def _measure(me: Any, round_trip_ns: int) -> None:
    if me.smooth_ns < 0:
        me.smooth_ns = round_trip_ns
        me.variation_ns = round_trip_ns // 2
    else:
        me.variation_ns += (abs(me.smooth_ns - round_trip_ns) - me.variation_ns) // 4
        me.smooth_ns += (round_trip_ns - me.smooth_ns) // 8


@compiled
def _reset_rto(me: Any) -> None:
    """End the doubling: something new was acknowledged."""
    me.rto_ns = me.smooth_ns + max(MINIMUM_RTO_NS, 4 * me.variation_ns) if me.smooth_ns >= 0 else INITIAL_RTO_NS
