"""What a run's use consists of: a model per part, each over what the part grows with, fitted to runs in small."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hostemu.base.errors import RunError
from hostemu.fitting import fit
from hostemu.fitting.models import Model
from hostemu.measure.lab_use import KERNEL, RUNNER
from hostemu.runner.using import CENTER, GUESTS, ISP
from hostemu.scenario import Scenario

LEAST = 1e-9
"""What takes nothing, or less than noise, is fitted as this: models are of positive numbers."""

Used = Mapping[str, Any]


@dataclass(frozen=True)
class Size:
    """A run's size.  programs: ISP server programs.  attempts: of all terminals.  run_s: real seconds of the run."""

    guests: int
    terminals: int
    programs: int
    attempts: float
    run_s: float

    def over(self, name: str) -> float:
        """How much there is of what a part grows with."""
        values = {
            "guests": self.guests,
            "terminals": self.terminals,
            "terminals_per_program": self.terminals / self.programs,
            "terminals_per_s": self.terminals / self.run_s,
            "attempts_per_s": self.attempts / self.run_s,
            "attempts_per_s_of_program": self.attempts / self.run_s / self.programs,
            "attempts_per_s_of_guest": self.attempts / self.run_s / self.guests,
        }
        return float(values[name])


def size_of(scenario: Scenario, attempts: float, run_s: float) -> Size:
    """The size of a run of this scenario."""
    return Size(scenario.guests, scenario.fleet.terminals, scenario.isp_programs, attempts, run_s)


def share_of_list(scenario: Scenario) -> float:
    """How much of its list an ISP server program contacts at a time; what a run lasts and tries depends on it."""
    return scenario.retrieval.concurrency / min(scenario.retrieval.list_size, scenario.fleet.terminals)


@dataclass(frozen=True)
class Part:
    """One part of what a run uses.  kind: of what, with its unit.  over: what it grows with; see Size.over.

    Over …_program it is what one ISP server program takes, over …_guest what one guest does.  The kernel's memory
    is with the runner's: a difference of what the machine had before, it is small and noisy, and no good to be
    fitted by itself.
    """

    kind: str
    part: str
    over: str
    form: str = "linear"

    @property
    def quantity(self) -> str:
        """Its name in model files."""
        return f"{self.part}_{self.kind}"

    def times(self, size: Size) -> float:
        """How many times the modelled value a run takes: of each program or guest, in each second."""
        return self._many(size) * (size.run_s if self.kind in PER_SECOND else 1.0)

    def _many(self, size: Size) -> int:
        if self.over.endswith("guest"):
            return size.guests
        return size.programs if self.over.endswith("program") else 1

    def measured(self, used: Used, size: Size) -> float:
        """What a run took of it, as the model has it."""
        return max(self._taken(used, size) / self._many(size), LEAST)

    def _taken(self, used: Used, size: Size) -> float:
        if self.kind == WORK:
            anyway = used["standing_cpu"].get(self.part, 0.0) + used["watch_cpu"].get(self.part, 0.0)
            work_s = used["cpu"][self.part] - used["cpu_start"][self.part]
            return float(work_s / size.run_s - anyway)
        table = used[TABLES[self.kind]]
        if self.part == RUN:
            return float(table)
        kernel_bytes = used["memory"][KERNEL] if (self.kind, self.part) == (MEMORY, RUNNER) else 0.0
        return float(table[self.part] + kernel_bytes)


MEMORY, START_CPU, START, DISK = "memory_bytes", "start_cpu_s", "start_s", "disk_bytes"
STANDING, WATCH, WORK = "standing_cpu_share", "watch_cpu_share", "work_cpu_share"
PER_SECOND = (STANDING, WATCH, WORK)
RUN = "run"
"""The part of what is not parted."""

TABLES = {
    MEMORY: "memory",
    START_CPU: "cpu_start",
    STANDING: "standing_cpu",
    WATCH: "watch_cpu",
    START: "start_s",
    DISK: "disk_bytes",
}

PARTS = (
    Part(MEMORY, RUNNER, "guests"),
    Part(MEMORY, CENTER, "terminals"),
    Part(MEMORY, ISP, "terminals_per_program"),
    Part(MEMORY, GUESTS, "guests"),
    Part(START_CPU, RUNNER, "guests"),
    Part(START_CPU, CENTER, "terminals"),
    Part(START_CPU, ISP, "terminals_per_program"),
    Part(START_CPU, GUESTS, "guests"),
    Part(STANDING, RUNNER, "guests"),
    Part(STANDING, CENTER, "terminals"),
    Part(STANDING, ISP, "terminals_per_program"),
    Part(STANDING, GUESTS, "guests"),
    Part(WATCH, RUNNER, "terminals"),
    Part(WORK, RUNNER, "attempts_per_s", "power"),
    Part(WORK, CENTER, "terminals_per_s", "power"),
    Part(WORK, ISP, "attempts_per_s_of_program", "power"),
    Part(WORK, GUESTS, "attempts_per_s_of_guest", "power"),
    Part(START, RUN, "guests"),
    Part(DISK, RUN, "terminals"),
)
"""CPU time is what starting took, what standing and watching take per second, and what the work took beyond that.

Everybody wakes up for a frame and takes all that have come: the more there is in a second, the less each costs.
"""


def fit_parts(backend: str, runs: Sequence[tuple[Size, Used]]) -> dict[str, Model]:
    """A model of every part, by its quantity; RunError for runs that tell too little."""
    if len({size.guests for size, _ in runs}) < 2:
        raise RunError("too few runs to fit to", expected="runs of two sizes or more", found=f"{len(runs)} runs")
    return dict(_models(backend, runs))


def _models(backend: str, runs: Sequence[tuple[Size, Used]]) -> Iterator[tuple[str, Model]]:
    for part in PARTS:
        x = [size.over(part.over) for size, _ in runs]
        y = [part.measured(used, size) for size, used in runs]
        yield part.quantity, Model(part.quantity, part.over, backend, fit(part.form, x, y))
