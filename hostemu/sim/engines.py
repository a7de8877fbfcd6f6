"""Which engine plays a simulated scenario, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from hostemu.base.errors import InputError
from hostemu.measure.costs import Costs
from hostemu.scenario import Scenario
from hostemu.sim.fleet import obstacles

FLEET_FROM = 20_000
"""From so many terminals on, the compiled engine is taken where it can play the scenario."""


class EngineName(Enum):
    """What the user may ask for."""

    AUTO = "auto"
    SIMPY = "simpy"
    FLEET = "fleet"


@dataclass(frozen=True)
class EngineChoice:
    """name: never AUTO.  why: in a line, for people."""

    name: EngineName
    why: str


def choose_engine(wanted: EngineName, scenario: Scenario, costs: Costs, *, traced: bool) -> EngineChoice:
    """The engine that plays the scenario; InputError when `wanted` cannot."""
    found = obstacles(scenario, costs)
    if traced:
        found.append("a trace of frames is wanted, and it has none")
    if wanted is EngineName.FLEET and found:
        raise InputError(
            "the compiled engine cannot play this scenario",
            expected="lines without a rate, losses only on the way to terminals, and computation that takes no time",
            found="; ".join(found),
            hint="leave --engine away, or say --engine simpy",
        )
    if wanted is not EngineName.AUTO:
        return EngineChoice(wanted, "as asked for")
    if found:
        return EngineChoice(EngineName.SIMPY, f"the compiled engine cannot play this: {found[0]}")
    if scenario.fleet.terminals < FLEET_FROM:
        return EngineChoice(EngineName.SIMPY, f"fewer than {FLEET_FROM} terminals")
    return EngineChoice(EngineName.FLEET, f"{FLEET_FROM} terminals or more, on lines without a rate")
