"""Small scenarios for the tests of the twin, and what a simulated world comes to."""

from __future__ import annotations

import io
from copy import deepcopy
from typing import Any

from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.scenario import Scenario
from hostemu.sim.world import World

BASE: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "title": "a small scenario of the tests",
    "source": "none",
    "seed": 1,
    "fleet": {"terminals": 1, "terminals_per_guest": 10},
    "power": {
        "on": "1000 s",
        "off": {"min": "1 s", "max": "1 s"},
        "off_draw": "per-terminal",
        "phase": "on",
        "when_off": "refuse",
    },
    "retrieval": {
        "transport": "tcp",
        "authentication": "xor",
        "list_size": 1000,
        "concurrency": 100,
        "connect_timeout": "1 s",
        "answer_timeout": "2 s",
        "info": "200 B",
        "deadline": "500 s",
        "retry": {"interval": "2 s", "max_attempts": 5, "keeps_slot": True},
    },
    "hosts": {"memory": "32 MiB"},
    "lines": {"center": {"delay": "10 ms"}, "isp": {}, "terminals": {"delay": "10 ms"}},
}


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with the dotted keys of `changes` set: {"power.on": "5 s"}."""
    result = deepcopy(base)
    for dotted, value in changes.items():
        *path, last = dotted.split(".")
        table = result
        for key in path:
            table = table.setdefault(key, {})
        table[last] = deepcopy(value)
    return result


def scenario(changes: dict[str, Any] | None = None) -> Scenario:
    """One terminal that is always on, 10 ms from everybody; `changes` by dotted keys."""
    values = merged(BASE, changes or {})
    concurrency, size = values["retrieval"]["concurrency"], values["retrieval"]["list_size"]
    values["retrieval"]["concurrency"] = min(concurrency, size, values["fleet"]["terminals"])
    return Scenario.model_validate(values)


def play(changes: dict[str, Any] | None = None, costs: Costs = NO_COSTS) -> World:
    """The world of such a scenario, after its end."""
    plan = scenario(changes)
    world = World(plan, plan.seed, costs)
    world.play()
    return world


def traced(changes: dict[str, Any] | None = None, costs: Costs = NO_COSTS, seed: int = 1) -> str:
    """The trace of such a scenario."""
    trace = io.StringIO()
    World(scenario(changes), seed, costs, trace).play()
    return trace.getvalue()


def ends(world: World) -> dict[int, tuple[Outcome, Reason, int]]:
    """(outcome, reason, attempts) of every terminal, by device ID."""
    accounts = world.center.accounts
    return {
        device_id: (account.report.outcome, account.report.reason, account.report.attempts)
        for device_id, account in sorted(accounts.items())
    }
