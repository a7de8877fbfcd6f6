"""Lists of terminals, compiled: which terminal is called when, with so many slots; `Retriever` is the reference.

Tables are TERMINAL of hostemu.records; as long as a list is played, retrieved_at_ns is when its ISP server was done
with the terminal.
"""

from __future__ import annotations

import heapq

import numpy as np

from hostemu.lines.compiling import compiled
from hostemu.sim.fleet.calls import play_calls
from hostemu.sim.fleet.codes import FAILED, NONE, RETRIEVED
from hostemu.sim.fleet.losses import Attempt
from hostemu.sim.fleet.power import first_cycle
from hostemu.sim.fleet.rules import Rules
from hostemu.sim.fleet.terminal import Counts, Table, attempt, contact, enter, is_final


@compiled
def play_list(rules: Rules, first: int, keys: Counts, begin_ns: int, table: Table, ended: Counts) -> None:
    """Retrieve terminals first … first + len(table) − 1 from `begin_ns` on, by the rules' kind of list."""
    if rules.terminals_call:
        play_calls(rules, first, keys, begin_ns, table, ended)
    elif rules.partitioned:
        _divide(rules, first, keys, begin_ns, table, ended)
    elif rules.keeps_slot:
        _keep_slots(rules, first, keys, begin_ns, table, ended)
    else:
        _queue_again(rules, first, keys, begin_ns, table, ended)


@compiled
def _keep_slots(rules: Rules, first: int, keys: Counts, begin_ns: int, table: Table, ended: Counts) -> None:
    """Every slot takes the list's next terminal when it is done with one.  `free` is a heap of such moments."""
    free = [begin_ns for _ in range(min(rules.concurrency, len(table)))]
    for place in range(len(table)):
        end_ns, outcome, reason, attempts, length_ns = contact(
            rules, first + place, keys[place % len(keys)], free[0], ended
        )
        heapq.heapreplace(free, end_ns)
        enter(table[place], end_ns, outcome, reason, attempts, length_ns)


@compiled
def _divide(rules: Rules, first: int, keys: Counts, begin_ns: int, table: Table, ended: Counts) -> None:
    """Every slot works through its own part of the list."""
    for slot in range(min(rules.concurrency, len(table))):
        now_ns = begin_ns
        for place in range(slot, len(table), rules.concurrency):
            now_ns, outcome, reason, attempts, length_ns = contact(
                rules, first + place, keys[place % len(keys)], now_ns, ended
            )
            enter(table[place], now_ns, outcome, reason, attempts, length_ns)


@compiled
def _queue_again(rules: Rules, first: int, keys: Counts, begin_ns: int, table: Table, ended: Counts) -> None:
    """A terminal that failed waits its interval without a slot, and is called again after those that are new."""
    size = len(table)
    waiting = np.empty(size + 1, np.int64)  # a ring: intervals are all alike, so who came first is due first
    due_ns = np.empty(size + 1, np.int64)
    head = tail = fresh = started = done = 0
    free = rules.concurrency
    now_ns = begin_ns
    active = [(begin_ns, 0, 0, 0, begin_ns) for _ in range(0)]  # a heap: (end, order, place, reason, begin)
    while done < size:
        while free > 0 and (fresh < size or (head != tail and due_ns[head] <= now_ns)):
            if fresh < size:
                place = fresh
                fresh += 1
                table[place].attempts = 0
            else:
                place = waiting[head]
                head = (head + 1) % len(waiting)
            free -= 1
            cycle = first_cycle(rules, first + place, keys[place % len(keys)])
            end_ns, reason, _ = attempt(rules, Attempt(first + place, table[place].attempts, now_ns), cycle)
            table[place].attempts += 1
            heapq.heappush(active, (end_ns, started, place, reason, now_ns))
            started += 1
        if free > 0 and head != tail and (len(active) == 0 or due_ns[head] <= active[0][0]):
            now_ns = due_ns[head]
            continue
        now_ns, _, place, reason, begun_ns = heapq.heappop(active)
        free += 1
        ended[reason] += 1
        if reason != NONE and table[place].attempts < rules.max_attempts and not is_final(rules, reason):
            waiting[tail] = place
            due_ns[tail] = now_ns + rules.interval_ns
            tail = (tail + 1) % len(waiting)
            continue
        done += 1
        outcome = RETRIEVED if reason == NONE else FAILED
        enter(table[place], now_ns, outcome, reason, table[place].attempts, now_ns - begun_ns)


@compiled
def play_lists(
    rules: Rules, list_size: int, first_list: int, keys: Counts, begins_ns: Table, table: Table, ended: Counts
) -> None:
    """Play consecutive lists, from `first_list` on.

    keys: of their terminals' off times, where they are drawn anew (else a single number, which is not used).
    begins_ns: when the command arrives, for each.  table: of all their terminals.
    """
    for number in range(len(begins_ns)):
        low = number * list_size
        own = keys[low : low + list_size] if rules.redraws else keys
        first = first_list * list_size + low
        play_list(rules, first, own, begins_ns[number], table[low : low + list_size], ended)
