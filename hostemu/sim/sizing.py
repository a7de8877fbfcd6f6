"""What a retrieval in a given time needs: contacts at a time, ISP servers, and what limits it.

Answered by playing the fleet with the compiled engine, with several seeds, and by the cost model for CPU time.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hostemu.base.errors import InputError
from hostemu.measure.costs import Costs
from hostemu.measure.statistics import Interval, mean, student_interval
from hostemu.records import RunRecord, summary
from hostemu.scenario import Scenario
from hostemu.sim.fleet import simulate_fleet

HEADROOM = 0.7
"""Share of a core's time that is planned with; above it, waiting grows quickly (M/M/1: 1 / (1 − share))."""

RESOLUTION = 0.01
"""Of the concurrency that is looked for, as a share."""

POWER = "the power cycle: even with all terminals in contact at once, the last one is on too late"
CENTER = "the center's CPU: one program stores all reports"
SLOTS = "contacts at a time: with fewer, it takes longer; with more, less"

OnEvent = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Played:
    """A fleet with a concurrency, over all seeds.

    time_s: mean time until the last terminal; interval: of that mean, 95 %, None of one seed.
    retrieved: the least share of any seed.  isp_cpu_s, center_cpu_s: CPU time of all programs of a kind, mean.
    attempts: of all terminals, mean.
    """

    concurrency: int
    time_s: float
    interval: Interval | None
    retrieved: float
    isp_cpu_s: float
    center_cpu_s: float
    attempts: float = 0.0

    @property
    def latest_s(self) -> float:
        """The upper end of the interval, or the time itself."""
        return self.time_s if self.interval is None else self.interval.high


@dataclass(frozen=True)
class Sizing:
    """What is needed.

    best: with all terminals of a list contacted at once: nothing is quicker.
    chosen: with the least concurrency that is quick enough; None when nothing is.
    isp_servers: hosts with as many cores as the measured one, for all ISP server programs; 0 where costs are unknown.
    center_share: of a core's time that the center's program needs; more than HEADROOM is too much for it.
    bottleneck: what keeps it from being quicker, or from being possible.
    """

    programs: int
    best: Played
    chosen: Played | None
    isp_servers: int
    center_share: float
    bottleneck: str


def size(scenario: Scenario, within_s: float, costs: Costs, seeds: int, on_event: OnEvent) -> Sizing:
    """What retrieving the scenario's fleet within `within_s` needs.

    on_event: {"phase": "size", "done", "total", "note"} after every concurrency tried.
    InputError for a scenario that the compiled engine cannot play.
    """
    search = _Search(scenario, within_s, costs, seeds, on_event)
    largest = scenario.retrieval.list_size
    best = search.play(largest)
    if not search.is_quick(best):
        return _sizing(scenario, costs, best, None)
    low, high, chosen = 0, largest, best  # `low` is too few, `high` is enough
    while high - low > 1 and high - low > high * RESOLUTION:
        middle = (low + high) // 2
        played = search.play(middle)
        if search.is_quick(played):
            high, chosen = middle, played
        else:
            low = middle
    return _sizing(scenario, costs, best, chosen)


class _Search:
    """Plays concurrencies."""

    def __init__(self, scenario: Scenario, within_s: float, costs: Costs, seeds: int, on_event: OnEvent) -> None:
        self._scenario = scenario
        self._within_s = within_s
        self._costs = costs
        self._seeds = seeds
        self._on_event = on_event
        self._done = 0
        self._total = 2 + math.ceil(math.log2(max(2, scenario.retrieval.list_size)))

    def is_quick(self, played: Played) -> bool:
        """Whether it is over in time, to 95 %."""
        return played.latest_s <= self._within_s

    def play(self, concurrency: int) -> Played:
        """Play all seeds."""
        retrieval = self._scenario.retrieval.model_copy(update={"concurrency": concurrency})
        scenario = self._scenario.model_copy(update={"retrieval": retrieval})
        records = [simulate_fleet(scenario, seed=scenario.seed + n, rows=False) for n in range(self._seeds)]
        played = self._summed_up(concurrency, records)
        self._done += 1
        note = f"{concurrency} at a time: {played.time_s:.1f} s"
        total = max(self._total, self._done)
        self._on_event({"phase": "size", "done": self._done, "total": total, "note": note})
        return played

    def _summed_up(self, concurrency: int, records: list[RunRecord]) -> Played:
        times = [record.makespan_ns / 1e9 for record in records]
        attempts = [record.extra["attempts_by_reason"] for record in records]
        retrieved = [summary(record)["retrieved"] for record in records]
        succeeded = [by_reason.get("none", 0) for by_reason in attempts]  # more, where terminals miss their receipts
        refused = [sum(by_reason.values()) - by_reason.get("none", 0) for by_reason in attempts]
        costs = self._costs
        isp = [
            (r * costs.isp_refused_ns + s * costs.isp_exchange_ns) / 1e9
            for r, s in zip(refused, succeeded, strict=True)
        ]
        return Played(
            concurrency,
            mean(times),
            student_interval(times),
            min(retrieved) / self._scenario.fleet.terminals,
            mean(isp),
            mean([s * costs.center_report_ns / 1e9 for s in retrieved]),
            mean([float(sum(by_reason.values())) for by_reason in attempts]),
        )


def _sizing(scenario: Scenario, costs: Costs, best: Played, chosen: Played | None) -> Sizing:
    used = chosen or best
    isp_servers = math.ceil(used.isp_cpu_s / used.time_s / (HEADROOM * costs.cores))
    center_share = used.center_cpu_s / used.time_s
    bottleneck = POWER if chosen is None else CENTER if center_share > HEADROOM else SLOTS
    return Sizing(scenario.isp_programs, best, chosen, isp_servers, center_share, bottleneck)


def require_sensible(within_s: float, scenario: Scenario) -> None:
    """InputError for a time that is none, or beyond the scenario's own deadline."""
    deadline_s = scenario.retrieval.deadline_ns / 1e9
    if not 0 < within_s <= deadline_s:
        raise InputError(
            "a time that no retrieval can have",
            expected=f"more than 0, and at most the scenario's deadline, {deadline_s:g} s",
            found=f"{within_s:g} s",
            hint="--set retrieval.deadline=… changes the deadline",
        )
