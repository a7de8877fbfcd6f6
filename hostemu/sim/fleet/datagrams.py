"""An attempt over UDP, compiled: `IspExchange` and `TerminalSession` with a line between them, message by message.

A round trip is shorter than the first pause after which a message is repeated, so that every message is answered, or
lost, or left without an answer, before the next one is sent.
"""

from __future__ import annotations

from hostemu.lines.compiling import compiled
from hostemu.sim.fleet.codes import NONE, REFUSED, REPLAY, SILENT, TIMEOUT, UNEXPECTED
from hostemu.sim.fleet.losses import DOWN, MESSAGE, UP, Attempt, is_lost
from hostemu.sim.fleet.power import Cycle, cycle_at
from hostemu.sim.fleet.rules import Rules

NOTHING, ANSWER, REFUSAL = 0, 1, 2
LISTENING, CHALLENGED, SERVED, CLOSED = 0, 1, 2, 3
"""Where the terminal's session stands."""


@compiled
def datagram_attempt(rules: Rules, this: Attempt, cycle: Cycle) -> tuple[int, int, Cycle]:
    """As `attempt`, over UDP: Hello and then Request, each repeated at doubling intervals until it is answered."""
    session, day, is_known = LISTENING, cycle.number, False
    sent = came_back = 0
    is_heard = False
    send_ns, pause_ns, expires_ns = this.begin_ns, rules.repeat_ns, this.begin_ns + rules.connect_timeout_ns
    while send_ns < expires_ns:
        answer, reason = NOTHING, NONE
        arrives_ns = send_ns + rules.out_ns
        if not is_lost(rules, this, DOWN, MESSAGE, sent):
            cycle = cycle_at(rules, cycle, arrives_ns)
            if arrives_ns < cycle.begin_ns + cycle.off_ns:
                answer, reason = (REFUSAL, REFUSED) if rules.refuses else (NOTHING, NONE)
            else:
                session = session if day == cycle.number else LISTENING
                day = cycle.number
                session, answer, reason = _hear(session, is_heard, is_known and rules.detects_replay == 1)
                is_known = True
        sent += 1
        back_ns = arrives_ns + rules.back_ns
        if answer != NOTHING:
            came_back += 1
            if not is_lost(rules, this, UP, MESSAGE, came_back - 1) and back_ns < expires_ns:
                if answer == REFUSAL or is_heard:
                    return back_ns, reason, cycle
                is_heard = True
                send_ns, pause_ns, expires_ns = back_ns, rules.repeat_ns, back_ns + rules.answer_timeout_ns
                continue
        send_ns += pause_ns
        pause_ns *= 2
    return expires_ns, TIMEOUT if is_heard else SILENT, cycle


@compiled
def _hear(session: int, is_request: bool, is_replay: bool) -> tuple[int, int, int]:
    """(the session's new state, what it answers, the reason of a refusal) to a Hello, or to a Request.

    is_replay: the terminal was given this exchange's Hello before, and tells replays.
    """
    if session == CLOSED:
        return session, NOTHING, NONE
    if is_request:
        return (CLOSED, REFUSAL, UNEXPECTED) if session == LISTENING else (SERVED, ANSWER, NONE)
    if session == LISTENING and is_replay:
        return CLOSED, REFUSAL, REPLAY
    return CHALLENGED, ANSWER, NONE
