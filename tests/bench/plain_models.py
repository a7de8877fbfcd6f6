"""The retrieval of a fleet as one would write it by hand: a process per terminal, in plain SimPy and in salabim.

Simpler than either engine: no frames, no TCP, no reports; the same power cycles, slots, attempts and times.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import simpy

from hostemu.protocol.power import PowerCycle
from hostemu.scenario import Scenario
from hostemu.scenario.derive import list_of, power_settings


@dataclass(frozen=True)
class Plain:
    """What a plain model came to."""

    retrieved: int
    last_s: float


class Times:
    """The scenario's times, in seconds."""

    def __init__(self, scenario: Scenario) -> None:
        lines, retry = scenario.lines, scenario.retrieval.retry
        self.one_way_s = (lines.isp.up.delay_ns + lines.terminals.down.delay_ns) / 1e9
        self.interval_s = retry.interval_ns / 1e9
        self.max_attempts = retry.max_attempts


def plain_simpy(scenario: Scenario) -> Plain:
    """A SimPy process per terminal, a resource of slots per list."""
    env, times, ends = simpy.Environment(), Times(scenario), []
    power = power_settings(scenario)

    def terminal(index: int, slots: simpy.Resource) -> Generator[Any, Any, None]:
        cycle = PowerCycle(power, scenario.seed, index)
        with slots.request() as slot:
            yield slot
            for _ in range(times.max_attempts):
                yield env.timeout(times.one_way_s)
                is_on = cycle.advance(int(env.now * 1e9))
                yield env.timeout(times.one_way_s)
                if is_on:
                    for _ in range(2):
                        yield env.timeout(times.one_way_s)
                        is_on = is_on and cycle.advance(int(env.now * 1e9))
                        yield env.timeout(times.one_way_s)
                    if is_on:
                        ends.append(env.now)
                        return
                yield env.timeout(times.interval_s)

    for number in range(scenario.isp_programs):
        slots = simpy.Resource(env, scenario.retrieval.concurrency)
        for index in list_of(scenario, number):
            env.process(terminal(index, slots))
    env.run()
    return Plain(len(ends), max(ends))


def plain_salabim(scenario: Scenario) -> Plain:
    """The same in salabim."""
    import salabim

    salabim.yieldless(False)
    env, times, ends = salabim.Environment(trace=False, time_unit="seconds"), Times(scenario), []
    power = power_settings(scenario)

    class Terminal(salabim.Component):  # type: ignore[misc]
        def setup(self, index: int, slots: Any) -> None:
            self.slots = slots
            self.cycle = PowerCycle(power, scenario.seed, index)

        def process(self) -> Generator[Any, Any, None]:
            yield self.request(self.slots)
            for _ in range(times.max_attempts):
                yield self.hold(times.one_way_s)
                is_on = self.cycle.advance(int(env.now() * 1e9))
                yield self.hold(times.one_way_s)
                if is_on:
                    for _ in range(2):
                        yield self.hold(times.one_way_s)
                        is_on = is_on and self.cycle.advance(int(env.now() * 1e9))
                        yield self.hold(times.one_way_s)
                    if is_on:
                        ends.append(env.now())
                        break
                yield self.hold(times.interval_s)
            self.release(self.slots)

    for number in range(scenario.isp_programs):
        slots = salabim.Resource(capacity=scenario.retrieval.concurrency, env=env)
        for index in list_of(scenario, number):
            Terminal(index=index, slots=slots, env=env)
    env.run()
    return Plain(len(ends), max(ends))
