"""What the compiled engine needs to know of a scenario: a tuple of numbers."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from hostemu.base.streams import Stream
from hostemu.scenario import Scenario
from hostemu.sim.tcp import INITIAL_RTO_NS

RANDOM_PHASE, ON_FIRST, OFF_FIRST = 0, 1, 2
_PHASES = {"random": RANDOM_PHASE, "on": ON_FIRST, "off": OFF_FIRST}


class Rules(NamedTuple):
    """Times in ns.

    out_ns: ISP server to terminal; back_ns: the other way.
    redraws: 1 when a terminal's off time is drawn anew in each cycle, else 0.
    on_ns, off_least_ns, off_choices: time awake; least off time, and how many there are, a nanosecond apart.
    refuses: 1 when a terminal's host answers for it while it is off, else 0.
    calls: SYN segments of one attempt that can still be answered in time.
    keeps_slot: 1 when a terminal that waits for its next attempt keeps its slot, else 0.
    partitioned: 1 when every slot has its own part of the list, else 0.
    after_contact: 1 when an attempt that failed after the terminal had answered is repeated, too, else 0.
    terminals_call: 1 when terminals have the initiative, else 0.
    """

    off_key: int
    phase_key: int
    redraws: int
    phase: int
    on_ns: int
    off_least_ns: int
    off_choices: int
    refuses: int
    out_ns: int
    back_ns: int
    calls: int
    connect_timeout_ns: int
    answer_timeout_ns: int
    interval_ns: int
    max_attempts: int
    keeps_slot: int
    partitioned: int
    after_contact: int
    concurrency: int
    terminals_call: int
    deadline_ns: int


def rules_of(scenario: Scenario, seed: int) -> Rules:
    """The rules of a scenario."""
    power, retrieval, lines = scenario.power, scenario.retrieval, scenario.lines
    return Rules(
        off_key=_key(seed, "off"),
        phase_key=_key(seed, "phase"),
        redraws=int(power.off_draw == "per-cycle"),
        phase=_PHASES[power.phase],
        on_ns=power.on_ns,
        off_least_ns=power.off.min_ns,
        off_choices=power.off.max_ns - power.off.min_ns + 1,
        refuses=int(power.when_off == "refuse"),
        out_ns=lines.isp.up.delay_ns + lines.terminals.down.delay_ns,
        back_ns=lines.terminals.up.delay_ns + lines.isp.down.delay_ns,
        calls=_calls(retrieval.connect_timeout_ns),
        connect_timeout_ns=retrieval.connect_timeout_ns,
        answer_timeout_ns=retrieval.answer_timeout_ns,
        interval_ns=retrieval.retry.interval_ns,
        max_attempts=retrieval.retry.max_attempts,
        keeps_slot=int(retrieval.retry.keeps_slot),
        partitioned=int(retrieval.partitioned),
        after_contact=int(retrieval.retry.after == "any"),
        concurrency=retrieval.concurrency,
        terminals_call=int(retrieval.initiative == "terminal"),
        deadline_ns=retrieval.deadline_ns,
    )


def _key(seed: int, name: str) -> int:
    """A stream's key as compiled code takes it: without a sign."""
    return cast(int, np.uint64(Stream.named(seed, "power", name).key))


def off_keys(seed: int, first: int, count: int) -> npt.NDArray[np.uint64]:
    """Keys of the off times of consecutive terminals, where each cycle's is drawn anew."""
    keys = (Stream.named(seed, "power", "off", index).key for index in range(first, first + count))
    return np.fromiter(keys, np.uint64, count)


def call_at_ns(number: int) -> int:
    """When SYN `number` of an attempt is sent, after the first: the time-out doubles (RFC 6298, 5.5)."""
    return ((1 << number) - 1) * INITIAL_RTO_NS


def _calls(connect_timeout_ns: int) -> int:
    """SYN segments that are sent before the attempt is given up."""
    number = 1
    while call_at_ns(number) < connect_timeout_ns:
        number += 1
    return number
