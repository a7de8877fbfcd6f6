"""A terminal's power cycle, compiled; `PowerCycle` is the reference."""

from __future__ import annotations

from typing import NamedTuple

from hostemu.base.streams import draw_uniform
from hostemu.lines.compiling import compiled
from hostemu.sim.fleet.rules import ON_FIRST, RANDOM_PHASE, Rules


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
    number, off_ns = cycle.number + 1, cycle.off_ns
    if rules.redraws:
        off_ns = rules.off_least_ns + int(draw_uniform(cycle.key, number) * rules.off_choices)
    return Cycle(cycle.key, number, cycle.begin_ns + cycle.off_ns + rules.on_ns, off_ns)


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
