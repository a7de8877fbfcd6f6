"""Lists whose terminals call, compiled: every call in the order in which calls are made; `sim.reception` plays it.

Calls that wait are served in the order in which they came: when a call is served follows from those before it.
"""

from __future__ import annotations

import heapq
from typing import Any, NamedTuple

import numpy as np

from hostemu.lines.compiling import compiled
from hostemu.sim.fleet.codes import FAILED, NONE, PENDING, RESET, RETRIEVED, TIMEOUT
from hostemu.sim.fleet.power import Cycle, cycle_at, first_cycle, next_cycle
from hostemu.sim.fleet.rules import Rules
from hostemu.sim.fleet.terminal import Counts, Table, enter


class Served(NamedTuple):
    """A call that has come to its ISP server.

    begun_ns, end_ns: when it was accepted, and when it was over there.  reason: why it failed, or NONE.
    is_proven: 1 when the terminal had proved who it is.  cut_ns: when the terminal's end of it was over.
    is_delivered: 1 when the terminal had its receipt by then.
    """

    begun_ns: int
    end_ns: int
    reason: int
    is_proven: int
    cut_ns: int
    is_delivered: int


@compiled
def first_wake_ns(rules: Rules, index: int, key: int) -> int:
    """When terminal `index` wakes up first, after time 0."""
    cycle = first_cycle(rules, index, key)
    wakes_ns = cycle.begin_ns + cycle.off_ns
    if wakes_ns > 0:
        return wakes_ns
    cycle = next_cycle(rules, cycle)
    return cycle.begin_ns + cycle.off_ns


@compiled
def slot_ns(rules: Rules, busy: list[int], queued_ns: int) -> int:
    """When a call that waits from `queued_ns` on has a slot; busy: a heap of when taken ones become free."""
    while len(busy) > 0 and busy[0] <= queued_ns:
        heapq.heappop(busy)
    return queued_ns if len(busy) < rules.concurrency else heapq.heappop(busy)


@compiled
def serve(rules: Rules, cycle: Cycle, stands_ns: int, begun_ns: int) -> Served:
    """A call of a terminal that is on, whose connection stands from `stands_ns`, and which is accepted at `begun_ns`.

    Once accepted it takes two round trips: Hello and Challenge, Request and Information; then the receipt is sent.
    A terminal that gives up or goes off resets the connection; one that goes off silently, when it wakes up again.
    """
    round_trip_ns = rules.out_ns + rules.back_ns
    off_ns, gives_up_ns = cycle.begin_ns + cycle.off_ns + rules.on_ns, stands_ns + rules.answer_timeout_ns
    cut_ns = min(off_ns, gives_up_ns)
    gone_ns = cut_ns + rules.back_ns
    if off_ns < gives_up_ns and not rules.refuses:
        gone_ns = off_ns + next_cycle(rules, cycle).off_ns + rules.back_ns
    if gone_ns <= begun_ns:
        return Served(begun_ns, begun_ns, RESET, 0, cut_ns, 0)
    if cut_ns > begun_ns + round_trip_ns + rules.out_ns:
        end_ns = begun_ns + 2 * round_trip_ns
        return Served(begun_ns, end_ns, NONE, 1, cut_ns, int(cut_ns > end_ns + rules.out_ns))
    is_proven = int(cut_ns > begun_ns + rules.out_ns)
    if begun_ns + rules.answer_timeout_ns < gone_ns:
        return Served(begun_ns, begun_ns + rules.answer_timeout_ns, TIMEOUT, is_proven, cut_ns, 0)
    return Served(begun_ns, gone_ns, RESET, is_proven, cut_ns, 0)


@compiled
def next_call_ns(rules: Rules, cycle: Cycle, failed_ns: int) -> int:
    """When a terminal whose call has failed calls again: after its pause while it is on, or at its next wake-up."""
    off_ns = cycle.begin_ns + cycle.off_ns + rules.on_ns
    if failed_ns + rules.interval_ns < off_ns:
        return failed_ns + rules.interval_ns
    return off_ns + next_cycle(rules, cycle).off_ns


@compiled
def account(rules: Rules, row: Any, served: Served, attempt: int) -> bool:
    """Enter a served call of a terminal that is not accounted for; whether it then is."""
    if served.reason != NONE and not (served.is_proven and attempt >= rules.max_attempts):
        return False
    outcome = RETRIEVED if served.reason == NONE else FAILED
    enter(row, served.end_ns, outcome, served.reason, attempt, served.end_ns - served.begun_ns)
    return True


@compiled
def play_calls(rules: Rules, first: int, keys: Counts, begin_ns: int, table: Table, ended: Counts) -> None:
    """Terminals first … first + len(table) − 1 call a program whose port is open from `begin_ns` on.

    The port closes when everybody is accounted for; until then a terminal that missed its receipt calls again.
    For one that never gets through, the moment at which its ISP server is done with it is the deadline.
    """
    size = len(table)
    first_ns = np.empty(size, np.int64)
    for place in range(size):
        first_ns[place] = first_wake_ns(rules, first + place, keys[place % len(keys)])
        enter(table[place], rules.deadline_ns, PENDING, NONE, 0, 0)
    order = np.argsort(first_ns, kind="mergesort")
    attempts = np.zeros(size, np.int64)
    again = [(begin_ns, 0) for _ in range(0)]  # a heap of further calls: (when, place)
    once_more = [(begin_ns, 0) for _ in range(0)]  # calls of terminals that are accounted for: (end, reason)
    busy = [begin_ns for _ in range(0)]  # a heap of the moments at which slots become free
    fresh, left, done_ns = 0, size, 0
    while fresh < size or len(again) > 0:
        if len(again) > 0 and (fresh == size or again[0][0] < first_ns[order[fresh]]):
            call_ns, place = heapq.heappop(again)
        else:
            place = order[fresh]
            call_ns = first_ns[place]
            fresh += 1
        if call_ns >= rules.deadline_ns or (left == 0 and call_ns >= done_ns):
            break
        attempts[place] += 1
        cycle = cycle_at(rules, first_cycle(rules, first + place, keys[place % len(keys)]), call_ns)
        stands_ns = call_ns + rules.back_ns + rules.out_ns
        failed_ns = min(stands_ns, cycle.begin_ns + cycle.off_ns + rules.on_ns)
        if call_ns + rules.back_ns >= begin_ns and failed_ns == stands_ns:
            served = serve(rules, cycle, stands_ns, slot_ns(rules, busy, stands_ns + rules.back_ns))
            heapq.heappush(busy, served.end_ns)
            if table[place].outcome != PENDING:
                once_more.append((served.end_ns, served.reason))
            else:
                ended[served.reason] += 1
                if account(rules, table[place], served, attempts[place]):
                    left -= 1
                    done_ns = max(done_ns, served.end_ns)
            if served.is_delivered:
                continue
            failed_ns = served.cut_ns
        if attempts[place] < rules.max_attempts:
            heapq.heappush(again, (next_call_ns(rules, cycle, failed_ns), place))
    for end_ns, reason in once_more:
        if left > 0 or end_ns < done_ns:
            ended[reason] += 1
