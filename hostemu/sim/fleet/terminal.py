"""One terminal's story, compiled: its power cycle, one attempt at it, and all attempts until it is done with."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from hostemu.base.streams import draw_uniform
from hostemu.lines.compiling import compiled
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.sim.fleet.rules import ON_FIRST, RANDOM_PHASE, Rules
from hostemu.sim.tcp import INITIAL_RTO_NS

NONE = int(Reason.NONE)
REFUSED = int(Reason.REFUSED)
SILENT = int(Reason.SILENT)
RESET = int(Reason.RESET)
TIMEOUT = int(Reason.TIMEOUT)
PENDING = int(Outcome.PENDING)
RETRIEVED = int(Outcome.RETRIEVED)
FAILED = int(Outcome.FAILED)

Counts = npt.NDArray[Any]
Table = npt.NDArray[Any]


class Cycle(NamedTuple):
    """A cycle of a terminal's power: off for off_ns from begin_ns on, then on.

    key: of the terminal's own off times, where each cycle's is drawn anew.  number: of the cycle, from 0.
    """

    key: int
    number: int
    begin_ns: int
    off_ns: int


@compiled
def first_cycle(rules: Rules, index: int, key: int) -> Cycle:
    """The cycle in which terminal `index` is at time 0."""
    draw = draw_uniform(key, 0) if rules.redraws else draw_uniform(rules.off_key, index)
    off_ns = rules.off_least_ns + int(draw * rules.off_choices)
    if rules.phase == RANDOM_PHASE:
        into_ns = int(draw_uniform(rules.phase_key, index) * (off_ns + rules.on_ns))
        return Cycle(key, 0, -into_ns, off_ns)
    return Cycle(key, 0, -off_ns if rules.phase == ON_FIRST else 0, off_ns)


@compiled
def next_cycle(rules: Rules, cycle: Cycle) -> Cycle:
    """The cycle that follows."""
    begin_ns, number = cycle.begin_ns + cycle.off_ns + rules.on_ns, cycle.number + 1
    if not rules.redraws:
        return Cycle(cycle.key, number, begin_ns, cycle.off_ns)
    return Cycle(
        cycle.key, number, begin_ns, rules.off_least_ns + int(draw_uniform(cycle.key, number) * rules.off_choices)
    )


@compiled
def cycle_at(rules: Rules, cycle: Cycle, at_ns: int) -> Cycle:
    """The cycle of that moment, which is not before the given one."""
    period_ns = cycle.off_ns + rules.on_ns
    if not rules.redraws:
        passed = (at_ns - cycle.begin_ns) // period_ns
        return Cycle(cycle.key, cycle.number + passed, cycle.begin_ns + passed * period_ns, cycle.off_ns)
    while at_ns >= cycle.begin_ns + cycle.off_ns + rules.on_ns:
        cycle = next_cycle(rules, cycle)
    return cycle


@compiled
def enter(row: Any, ended_ns: int, outcome: int, reason: int, attempts: int, exchange_ns: int) -> None:
    """Fill a terminal's row in; as long as its list is played, retrieved_at_ns is when its ISP server was done."""
    row.retrieved_at_ns = ended_ns
    row.exchange_ns = exchange_ns
    row.attempts = attempts
    row.outcome = outcome
    row.reason = reason


@compiled
def attempt(rules: Rules, cycle: Cycle, begin_ns: int) -> tuple[int, int, Cycle]:
    """(when it ends at the ISP server, why it failed, or NONE; the cycle that the terminal is in by then)."""
    for number in range(rules.calls):
        call_ns = begin_ns + ((1 << number) - 1) * INITIAL_RTO_NS
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
        if asleep_ns > 0 and (rules.refuses or rules.calls == 1):
            in_vain = (asleep_ns + step_ns - 1) // step_ns
            if in_vain >= left:
                ended[vain] += left
                return at_ns + (left - 1) * step_ns + vain_ns, FAILED, vain, rules.max_attempts, vain_ns
            ended[vain] += in_vain
            left -= in_vain
            at_ns += in_vain * step_ns
            continue
        end_ns, reason, cycle = attempt(rules, cycle, at_ns)
        ended[reason] += 1
        left -= 1
        if reason == NONE:
            return end_ns, RETRIEVED, NONE, rules.max_attempts - left, end_ns - at_ns
        if left == 0 or is_final(rules, reason):
            return end_ns, FAILED, reason, rules.max_attempts - left, end_ns - at_ns
        at_ns = end_ns + rules.interval_ns
