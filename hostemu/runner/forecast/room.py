"""Whether a run fits here: the kernel's limits, memory, disk, CPU time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hostemu.base.errors import HostError
from hostemu.measure.host import SATURATED
from hostemu.measure.limits import COSTS, HOSTS_BESIDE, Limit, Plan, examine
from hostemu.runner.doctor import facts_of_lab
from hostemu.runner.forecast.predict import Forecast
from hostemu.scenario import Scenario
from hostemu.scenario.workload import Workload

ROUGH = 2
MEMORY_LIMITS = ("MemAvailable", "memory.max", "memory.limit_in_bytes")
"""Limits whose needed part a forecast knows better."""


def limits_of(scenario: Scenario, backend: str, memory_bytes: float | None = None) -> list[Limit]:
    """Every limit of this machine that such a run may meet; none for a backend of which nothing is known.

    memory_bytes: what the run is known to need; None: by what a guest usually takes.
    """
    guests, terminals = max(1, scenario.real_guests), scenario.fleet.terminals_per_guest
    return limits_of_plan(Plan(backend, guests, terminals, scenario.hosts.memory_bytes), memory_bytes)


def limits_of_workload(workload: Workload, backend: str) -> list[Limit]:
    """The same for a workload's hosts, with the memory of the largest."""
    largest = max(group.memory_bytes for group in workload.groups.values())
    return limits_of_plan(Plan(backend, max(1, workload.hosts - HOSTS_BESIDE), 0, largest))


def limits_of_plan(plan: Plan, memory_bytes: float | None = None) -> list[Limit]:
    """Every limit of this machine that guests like these may meet; see limits_of."""
    if plan.backend not in COSTS:
        return []
    facts = facts_of_lab(usable=plan.backend == "uml")
    limits = examine(facts, plan)
    if memory_bytes is None:
        return limits
    used = 0 if facts.group_memory is None else facts.group_memory.used
    needed = {name: round(memory_bytes) + used * (name != "MemAvailable") for name in MEMORY_LIMITS}
    return [replace(limit, needed=needed.get(limit.name, limit.needed)) for limit in limits]


def is_hopeless(limits: Sequence[Limit]) -> bool:
    """Whether a limit is hit whatever a forecast may say: what guests usually take is known to a factor of ROUGH."""
    return any(
        limit.is_hit and (limit.name not in MEMORY_LIMITS or limit.needed > ROUGH * limit.current) for limit in limits
    )


def refusals(limits: Sequence[Limit], found: Forecast | None, output: Path) -> Iterator[str]:
    """Why the run cannot be played here; nothing when it can."""
    for limit in limits:
        if limit.is_hit:
            yield f"{limit.name}: {limit.shown(limit.needed)} needed, {limit.shown(limit.current)} here"
    if found is not None:
        if found.mean_share > SATURATED:
            needed = found.mean_share * found.cores
            yield f"CPU: {needed:.1f} cores' time needed all the while, {found.cores} here: the run would be INVALID"
        free = free_bytes(output)
        if found.disk_bytes.value > free:
            yield f"disk: {found.disk_bytes.value / 2**20:.0f} MiB needed, {free / 2**20:.0f} MiB free in {output}"


def free_bytes(folder: Path) -> int:
    """Free space where the folder is, or will be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def require_room(scenario: Scenario, backend: str, planned: dict[str, Any]) -> None:
    """HostError, before anything is started, when limits or memory do not suffice.  planned: an earlier forecast."""
    memory = planned.get("memory_bytes", {}).get("value")
    require_within(limits_of(scenario, backend, memory))


def require_within(limits: Sequence[Limit]) -> None:
    """HostError when one of these limits is hit."""
    reasons = list(refusals(limits, None, Path()))
    if reasons:
        fixes = dict.fromkeys(limit.fix for limit in limits if limit.is_hit)
        raise no_room(reasons, "; ".join(fixes))


def no_room(reasons: Sequence[str], fix: str) -> HostError:
    """The error that says what is lacking."""
    return HostError("this machine cannot play this", found="; ".join(reasons), hint=fix or "a smaller fleet")
