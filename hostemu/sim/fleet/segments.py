"""An attempt over TCP, compiled, frame by frame: what arrives, what time-outs do, and when the terminal goes off."""

from __future__ import annotations

from hostemu.lines.compiling import compiled
from hostemu.sim.fleet.codes import NONE, REFUSED, RESET, SILENT, TIMEOUT
from hostemu.sim.fleet.losses import Attempt
from hostemu.sim.fleet.power import Cycle, cycle_at
from hostemu.sim.fleet.rules import Rules
from hostemu.sim.fleet.tcp_end import (
    CLOSED,
    ESTABLISHED,
    IN_FLIGHT,
    ISP,
    NEVER,
    SYN_RECEIVED,
    SYN_SENT,
    TERMINAL,
    Talk,
    close,
    establish,
    give,
    new_talk,
    open_end,
    send,
    take_acknowledgement,
    take_message,
    take_opening,
    timed_out,
)
from hostemu.sim.packets import ACK, RST, SYN

MESSAGES = 2
"""Of each end: Hello and Request, Challenge and Information."""

GOES_ON = -1


@compiled
def segment_attempt(rules: Rules, this: Attempt, cycle: Cycle) -> tuple[int, int, Cycle]:
    """As `attempt`, over TCP, frame by frame."""
    talk = new_talk(rules, this)
    isp, terminal = talk.ends[ISP], talk.ends[TERMINAL]
    terminal.timer_ns = NEVER
    open_end(talk, ISP, this.begin_ns, SYN_SENT)
    expires_ns, switch_ns = this.begin_ns + rules.connect_timeout_ns, NEVER
    while True:
        down_ns, up_ns = _due_ns(talk, ISP), _due_ns(talk, TERMINAL)
        now_ns = min(expires_ns, switch_ns, down_ns, up_ns, isp.timer_ns, terminal.timer_ns)
        if now_ns == expires_ns:
            return now_ns, TIMEOUT if isp.state == ESTABLISHED else SILENT, cycle
        if now_ns == switch_ns:
            cycle = cycle_at(rules, cycle, now_ns)
            switch_ns = _switch(talk, cycle, now_ns)
        elif now_ns == terminal.timer_ns:
            timed_out(talk, TERMINAL, now_ns)
        elif now_ns == isp.timer_ns:
            reason = timed_out(talk, ISP, now_ns)
            if reason != NONE:
                return now_ns, reason, cycle
        elif now_ns == down_ns:
            cycle, switch_ns = _at_terminal(talk, cycle, switch_ns, now_ns)
        else:
            was = isp.state
            reason = _at_isp(talk, now_ns)
            if reason != GOES_ON:
                return now_ns, reason, cycle
            if isp.state != was:
                expires_ns = now_ns + rules.answer_timeout_ns


@compiled
def _due_ns(talk: Talk, sender: int) -> int:
    """When the next of an end's frames arrives."""
    head = talk.heads[sender]
    return talk.frames[sender, head % IN_FLIGHT].due_ns if head < talk.tails[sender] else NEVER


@compiled
def _switch(talk: Talk, cycle: Cycle, now_ns: int) -> int:
    """The terminal, which has a connection, goes off or on; when it does so next, as far as that matters.

    One that is off resets its connections at once, or is deaf and resets them when it is on again.
    """
    is_on = now_ns >= cycle.begin_ns + cycle.off_ns
    if is_on or talk.rules.refuses:
        close(talk, TERMINAL, now_ns)
        return NEVER
    talk.ends[TERMINAL].is_deaf = 1
    return cycle.begin_ns + cycle.off_ns


@compiled
def _at_terminal(talk: Talk, cycle: Cycle, switch_ns: int, now_ns: int) -> tuple[Cycle, int]:
    """A frame arrives at the terminal; (the cycle that it is in, when it goes off or on next)."""
    me = talk.ends[TERMINAL]
    frame = talk.frames[ISP, talk.heads[ISP] % IN_FLIGHT]
    talk.heads[ISP] += 1
    if me.state == CLOSED:
        return _at_stranger(talk, cycle, frame.flags, now_ns)
    if not me.is_deaf:
        if frame.flags & SYN:
            take_opening(talk, TERMINAL, now_ns)
        else:
            if me.state == SYN_RECEIVED:
                establish(me, now_ns)
            take_acknowledgement(talk, TERMINAL, now_ns, frame.acknowledgement, frame.messages)
            if frame.messages and take_message(talk, TERMINAL, now_ns, frame.sequence):
                give(talk, TERMINAL, now_ns)
    return cycle, switch_ns


@compiled
def _at_stranger(talk: Talk, cycle: Cycle, flags: int, now_ns: int) -> tuple[Cycle, int]:
    """A frame arrives at a terminal that has no connection: as before."""
    if flags != SYN:
        send(talk, TERMINAL, now_ns, RST | ACK, 0, 0)
        return cycle, NEVER
    cycle = cycle_at(talk.rules, cycle, now_ns)
    if now_ns >= cycle.begin_ns + cycle.off_ns:
        open_end(talk, TERMINAL, now_ns, SYN_RECEIVED)
        return cycle, cycle.begin_ns + cycle.off_ns + talk.rules.on_ns
    if talk.rules.refuses:
        send(talk, TERMINAL, now_ns, RST | ACK, 0, 0)
    return cycle, NEVER


@compiled
def _at_isp(talk: Talk, now_ns: int) -> int:
    """A frame arrives at the ISP server; how the attempt ends, or GOES_ON."""
    me = talk.ends[ISP]
    frame = talk.frames[TERMINAL, talk.heads[TERMINAL] % IN_FLIGHT]
    talk.heads[TERMINAL] += 1
    if frame.flags & RST:
        return REFUSED if me.state == SYN_SENT else RESET
    if frame.flags & SYN:
        if take_opening(talk, ISP, now_ns):
            give(talk, ISP, now_ns)
    elif me.state == ESTABLISHED:
        take_acknowledgement(talk, ISP, now_ns, frame.acknowledgement, frame.messages)
        if frame.messages and take_message(talk, ISP, now_ns, frame.sequence):
            if me.expected == MESSAGES:
                return NONE
            give(talk, ISP, now_ns)
    return GOES_ON
