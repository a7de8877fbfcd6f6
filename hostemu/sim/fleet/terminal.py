"""One terminal's story, compiled: its power cycle, one attempt at it, and all attempts until it is done with."""

from __future__ import annotations

from typing import Any

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
RETRIEVED = int(Outcome.RETRIEVED)
FAILED = int(Outcome.FAILED)

Counts = npt.NDArray[Any]
Table = npt.NDArray[Any]


@compiled
def power_cycle(rules: Rules, index: int) -> tuple[int, int]:
    """(off time, how far into its cycle the terminal is at time 0); a cycle is off, then on."""
    off_ns = rules.off_least_ns + int(draw_uniform(rules.off_key, index) * rules.off_choices)
    if rules.phase == RANDOM_PHASE:
        return off_ns, int(draw_uniform(rules.phase_key, index) * (off_ns + rules.on_ns))
    return off_ns, off_ns if rules.phase == ON_FIRST else 0


@compiled
def attempt(rules: Rules, off_ns: int, into_ns: int, begin_ns: int) -> tuple[int, int]:
    """(when it ends at the ISP server, why it failed, or NONE)."""
    period_ns = off_ns + rules.on_ns
    for number in range(rules.calls):
        call_ns = begin_ns + ((1 << number) - 1) * INITIAL_RTO_NS
        opens_ns = call_ns + rules.out_ns + rules.back_ns
        place_ns = (call_ns + rules.out_ns + into_ns) % period_ns
        if place_ns < off_ns and rules.refuses:
            return opens_ns, REFUSED
        if opens_ns - begin_ns >= rules.connect_timeout_ns:
            break
        if place_ns >= off_ns:
            return exchange(rules, opens_ns, period_ns - place_ns)
    return begin_ns + rules.connect_timeout_ns, SILENT


@compiled
def exchange(rules: Rules, opens_ns: int, awake_ns: int) -> tuple[int, int]:
    """The same for a connection that stands from `opens_ns`; awake_ns: from the SYN's arrival until power goes off.

    Two more round trips: Hello and Challenge, Request and Information.  A terminal that is switched off resets what
    connections it has; one whose handshake is not complete just forgets it, and answers the Hello with a reset.
    """
    round_trip_ns = rules.out_ns + rules.back_ns
    if awake_ns > 2 * round_trip_ns:
        return opens_ns + 2 * round_trip_ns, NONE
    if not rules.refuses:
        return opens_ns + rules.answer_timeout_ns, TIMEOUT
    return opens_ns + max(awake_ns, round_trip_ns), RESET


@compiled
def contact(rules: Rules, index: int, begin_ns: int, ended: Counts) -> tuple[int, int, int, int, int]:
    """All attempts at a terminal that keeps its slot: (end, outcome, reason, attempts, length of the last one).

    ended: counts attempts by reason.  Attempts that find the terminal off, one after the other, are one step.
    """
    off_ns, into_ns = power_cycle(rules, index)
    period_ns = off_ns + rules.on_ns
    vain_ns = rules.out_ns + rules.back_ns if rules.refuses else rules.connect_timeout_ns
    vain = REFUSED if rules.refuses else SILENT
    step_ns = vain_ns + rules.interval_ns
    left = rules.max_attempts
    at_ns = begin_ns
    while True:
        place_ns = (at_ns + rules.out_ns + into_ns) % period_ns
        if place_ns < off_ns and (rules.refuses or rules.calls == 1):
            in_vain = (off_ns - place_ns + step_ns - 1) // step_ns
            if in_vain >= left:
                ended[vain] += left
                return at_ns + (left - 1) * step_ns + vain_ns, FAILED, vain, rules.max_attempts, vain_ns
            ended[vain] += in_vain
            left -= in_vain
            at_ns += in_vain * step_ns
            continue
        end_ns, reason = attempt(rules, off_ns, into_ns, at_ns)
        ended[reason] += 1
        left -= 1
        if reason == NONE:
            return end_ns, RETRIEVED, NONE, rules.max_attempts - left, end_ns - at_ns
        if left == 0:
            return end_ns, FAILED, reason, rules.max_attempts, end_ns - at_ns
        at_ns = end_ns + rules.interval_ns
