"""One terminal's story, compiled: one attempt at it, and all attempts until it is done with."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from hostemu.lines.compiling import compiled
from hostemu.sim.fleet.codes import FAILED, NONE, REFUSED, RESET, RETRIEVED, SILENT, TIMEOUT
from hostemu.sim.fleet.datagrams import datagram_attempt
from hostemu.sim.fleet.losses import Attempt
from hostemu.sim.fleet.power import Cycle, cycle_at, first_cycle
from hostemu.sim.fleet.rules import Rules
from hostemu.sim.fleet.segments import segment_attempt

Counts = npt.NDArray[Any]
Table = npt.NDArray[Any]


@compiled
def enter(row: Any, ended_ns: int, outcome: int, reason: int, attempts: int, exchange_ns: int) -> None:
    """Fill a terminal's row in; as long as its list is played, retrieved_at_ns is when its ISP server was done."""
    row.retrieved_at_ns = ended_ns
    row.exchange_ns = exchange_ns
    row.attempts = attempts
    row.outcome = outcome
    row.reason = reason


@compiled
def attempt(rules: Rules, this: Attempt, cycle: Cycle) -> tuple[int, int, Cycle]:
    """(when it ends at the ISP server, why it failed, or NONE; the cycle that the terminal is in by then)."""
    if rules.datagrams:
        return datagram_attempt(rules, this, cycle)
    if rules.by_frame:
        return segment_attempt(rules, this, cycle)
    return plain_attempt(rules, cycle, this.begin_ns)


@compiled
def plain_attempt(rules: Rules, cycle: Cycle, begin_ns: int) -> tuple[int, int, Cycle]:
    """The same over TCP, where nothing is lost."""
    for number in range(rules.calls):
        call_ns = begin_ns + ((1 << number) - 1) * rules.repeat_ns
        opens_ns = call_ns + rules.out_ns + rules.back_ns
        cycle = cycle_at(rules, cycle, call_ns + rules.out_ns)
        awake_ns = call_ns + rules.out_ns - cycle.begin_ns - cycle.off_ns
        if awake_ns < 0 and rules.refuses:
            return opens_ns, REFUSED, cycle
        if opens_ns - begin_ns >= rules.connect_timeout_ns:
            break
        if awake_ns >= 0:
            end_ns, reason = exchange(rules, opens_ns, rules.on_ns - awake_ns)
            return end_ns, reason, cycle
    return begin_ns + rules.connect_timeout_ns, SILENT, cycle


@compiled
def exchange(rules: Rules, opens_ns: int, left_ns: int) -> tuple[int, int]:
    """The same for a connection that stands from `opens_ns`; left_ns: from the SYN's arrival until power goes off.

    Two more round trips: Hello and Challenge, Request and Information.  A terminal that is switched off resets what
    connections it has; one whose handshake is not complete just forgets it, and answers the Hello with a reset.
    """
    round_trip_ns = rules.out_ns + rules.back_ns
    if left_ns > 2 * round_trip_ns:
        return opens_ns + 2 * round_trip_ns, NONE
    if not rules.refuses:
        return opens_ns + rules.answer_timeout_ns, TIMEOUT
    return opens_ns + max(left_ns, round_trip_ns), RESET


@compiled
def is_final(rules: Rules, reason: int) -> bool:
    """Whether an attempt that failed for this reason is not repeated, however many are left."""
    return rules.after_contact == 0 and reason != REFUSED and reason != SILENT


@compiled
def contact(rules: Rules, index: int, key: int, begin_ns: int, ended: Counts) -> tuple[int, int, int, int, int]:
    """All attempts at a terminal that keeps its slot: (end, outcome, reason, attempts, length of the last one).

    ended: counts attempts by reason.  Attempts that find the terminal off, one after the other, are one step.
    """
    vain_ns = rules.out_ns + rules.back_ns if rules.refuses else rules.connect_timeout_ns
    vain = REFUSED if rules.refuses else SILENT
    step_ns = vain_ns + rules.interval_ns
    left, at_ns = rules.max_attempts, begin_ns
    cycle = first_cycle(rules, index, key)
    while True:
        cycle = cycle_at(rules, cycle, at_ns + rules.out_ns)
        asleep_ns = cycle.begin_ns + cycle.off_ns - at_ns - rules.out_ns
        if asleep_ns > 0 and rules.sleep_is_plain:
            in_vain = (asleep_ns + step_ns - 1) // step_ns
            if in_vain >= left:
                ended[vain] += left
                return at_ns + (left - 1) * step_ns + vain_ns, FAILED, vain, rules.max_attempts, vain_ns
            ended[vain] += in_vain
            left -= in_vain
            at_ns += in_vain * step_ns
            continue
        end_ns, reason, cycle = attempt(rules, Attempt(index, rules.max_attempts - left, at_ns), cycle)
        ended[reason] += 1
        left -= 1
        if reason == NONE:
            return end_ns, RETRIEVED, NONE, rules.max_attempts - left, end_ns - at_ns
        if left == 0 or is_final(rules, reason):
            return end_ns, FAILED, reason, rules.max_attempts - left, end_ns - at_ns
        at_ns = end_ns + rules.interval_ns
