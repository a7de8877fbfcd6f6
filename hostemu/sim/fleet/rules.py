"""What the compiled engine needs to know of a scenario: a tuple of numbers."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from hostemu.base.streams import Stream
from hostemu.protocol.auth import SCHEMES
from hostemu.scenario import Scenario
from hostemu.scenario.derive import exchange_settings
from hostemu.sim.tcp import INITIAL_RTO_NS, SYN_RETRIES

RANDOM_PHASE, ON_FIRST, OFF_FIRST = 0, 1, 2
_PHASES = {"random": RANDOM_PHASE, "on": ON_FIRST, "off": OFF_FIRST}

GIVEN_UP_NS = ((2 << SYN_RETRIES) - 1) * INITIAL_RTO_NS
"""When a kernel gives up a connection that nobody answers."""


class Rules(NamedTuple):
    """Times in ns.

    out_ns: ISP server to terminal; back_ns: the other way.
    redraws: 1 when a terminal's off time is drawn anew in each cycle, else 0.
    on_ns, off_least_ns, off_choices: time awake; least off time, and how many there are, a nanosecond apart.
    refuses: 1 when a terminal's host answers for it while it is off, else 0.
    datagrams: 1 over UDP, 0 over TCP.  detects_replay: 1 when a terminal tells a Hello that it has had before.
    by_frame: 1 when a TCP exchange is played frame by frame; see `by_frame`.
    sleep_is_plain: 1 when all attempts that find a terminal off are alike.
    loss_key, loss_down, loss_up: of the line to the terminal, per frame; its streams' key.
    repeat_ns: pause before the first SYN, or UDP message, is repeated; it doubles.
    calls: of these, how many of one attempt are sent in time.
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
    datagrams: int
    detects_replay: int
    by_frame: int
    sleep_is_plain: int
    loss_key: int
    loss_down: float
    loss_up: float
    repeat_ns: int
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
    datagrams, refuses = retrieval.transport == "udp", power.when_off == "refuse"
    loses = bool(lines.terminals.down.loss or lines.terminals.up.loss)
    repeat_ns = first_repeat_ns(scenario)
    connect_timeout_ns = retrieval.connect_timeout_ns if datagrams else min(retrieval.connect_timeout_ns, GIVEN_UP_NS)
    calls = calls_within(connect_timeout_ns, repeat_ns)
    return Rules(
        off_key=_key(seed, "power", "off"),
        phase_key=_key(seed, "power", "phase"),
        redraws=int(power.off_draw == "per-cycle"),
        phase=_PHASES[power.phase],
        on_ns=power.on_ns,
        off_least_ns=power.off.min_ns,
        off_choices=power.off.max_ns - power.off.min_ns + 1,
        refuses=int(refuses),
        out_ns=lines.isp.up.delay_ns + lines.terminals.down.delay_ns,
        back_ns=lines.terminals.up.delay_ns + lines.isp.down.delay_ns,
        datagrams=int(datagrams),
        detects_replay=int(SCHEMES[retrieval.authentication].detects_replay),
        by_frame=int(by_frame(scenario)),
        sleep_is_plain=int(not loses and (refuses or calls == 1)),
        loss_key=_key(seed, "fleet", "loss"),
        loss_down=lines.terminals.down.loss,
        loss_up=lines.terminals.up.loss,
        repeat_ns=repeat_ns,
        calls=calls,
        connect_timeout_ns=connect_timeout_ns,
        answer_timeout_ns=retrieval.answer_timeout_ns,
        interval_ns=retrieval.retry.interval_ns,
        max_attempts=retrieval.retry.max_attempts,
        keeps_slot=int(retrieval.retry.keeps_slot),
        partitioned=int(retrieval.partitioned),
        after_contact=int(retrieval.retry.after == "any"),
        concurrency=retrieval.concurrency,
        terminals_call=int(retrieval.terminals_call),
        deadline_ns=retrieval.deadline_ns,
    )


def first_repeat_ns(scenario: Scenario) -> int:
    """The pause before a SYN, or a UDP message, is repeated for the first time."""
    settings = exchange_settings(scenario)
    return INITIAL_RTO_NS if settings.stream else settings.repeat_ns


def by_frame(scenario: Scenario) -> bool:
    """Whether a TCP exchange has to be played frame by frame.

    It has where frames are lost, and where a terminal that fell silent may be back, and reset its connections, before
    it is given up.  Calls of terminals have not: `calls` follows a silent one's reset, and knows no loss.
    """
    if scenario.retrieval.terminals_call:
        return False
    line, power = scenario.lines.terminals, scenario.power
    is_back_early = power.when_off == "silent" and power.off.min_ns < scenario.retrieval.answer_timeout_ns
    return scenario.retrieval.transport == "tcp" and (line.down.loss > 0 or line.up.loss > 0 or is_back_early)


def _key(seed: int, *name: str) -> int:
    """A stream's key as compiled code takes it: without a sign."""
    return cast(int, np.uint64(Stream.named(seed, *name).key))


def off_keys(seed: int, first: int, count: int) -> npt.NDArray[np.uint64]:
    """Keys of the off times of consecutive terminals, where each cycle's is drawn anew."""
    keys = (Stream.named(seed, "power", "off", index).key for index in range(first, first + count))
    return np.fromiter(keys, np.uint64, count)


def calls_within(time_ns: int, repeat_ns: int) -> int:
    """Messages that are sent in less than `time_ns`, when the pause between them doubles (SYN: RFC 6298, 5.5)."""
    number = 1
    while ((1 << number) - 1) * repeat_ns < time_ns:
        number += 1
    return number
