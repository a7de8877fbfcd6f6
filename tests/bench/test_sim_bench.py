"""How fast the twin is, beside SimPy doing nothing but time-outs in the same run."""

from __future__ import annotations

import time

import pytest
import simpy

from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.scenario import load_scenario
from hostemu.sim.world import World

TERMINALS = 1600
BARE_TIMEOUTS = 100_000
REPEATS = 3
COSTS = Costs(80_000, 400_000, 300_000, 50_000, 15_000, cores=2, source="made up")


def _bare_per_s() -> float:
    """Time-outs of 64 SimPy processes per second of CPU."""
    env = simpy.Environment()

    def tick(period: int):  # type: ignore[no-untyped-def]
        while True:
            yield env.timeout(period)

    for period in range(64):
        env.process(tick(1000 + period))
    began = time.process_time()
    for _ in range(BARE_TIMEOUTS):
        env.step()
    return BARE_TIMEOUTS / (time.process_time() - began)


def _world_per_s(costs: Costs) -> tuple[float, float, float]:
    """Terminals, attempts and calls per second of CPU of the thesis' scenario."""
    scenario = load_scenario("thesis-uml", [f"fleet.terminals={TERMINALS}"])
    world = World(scenario, scenario.seed, costs)
    began = time.process_time()
    world.play()
    elapsed_s = time.process_time() - began
    attempts = sum(sum(program.attempts_by_reason.values()) for program in world.isp.programs)
    assert world.center.retrieved + world.center.failed == TERMINALS
    return TERMINALS / elapsed_s, attempts / elapsed_s, world.clock.calls / elapsed_s


@pytest.mark.bench
@pytest.mark.parametrize(("name", "costs"), [("free", NO_COSTS), ("costly", COSTS)])
def test_simulated_terminals_per_second(name: str, costs: Costs) -> None:
    bare = max(_bare_per_s() for _ in range(REPEATS))
    terminals, attempts, calls = max(_world_per_s(costs) for _ in range(REPEATS))
    print(
        f"\nsimulation, {name}: {terminals:,.0f} terminals/s, {attempts:,.0f} attempts/s, {calls:,.0f} calls/s;"
        f" bare SimPy {bare:,.0f} time-outs/s, ratio {calls / bare:.2f}"
    )
    assert calls / bare > 0.02
