"""A scenario in small: a few of its guests, of which as large a share is contacted at a time.

It lasts as long as the whole, and its terminals are tried as often, since what a terminal waits for is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hostemu.base.cache import cache_dir, unwritable
from hostemu.base.errors import HostError, InputError
from hostemu.base.work_folder import sweep, work_folder
from hostemu.gine import Engine, Network
from hostemu.lab import call_in_lab
from hostemu.runner.forecast.parts import Size, Used, share_of_list, size_of
from hostemu.runner.play import OnEvent, Result, play_real
from hostemu.scenario import Scenario

RUN_S = 8.0
"""What such a run should take: the scenario is played faster, until it does."""

SLOWER = 4
"""And so much slower than that once more: what an action costs depends on how many there are in a second."""

LEAST_ON_S = 0.2
"""A terminal's on time is not played shorter for that: programs would be late."""

SETTLE_S = 2.0
"""For so long the lab stands before the programs begin, to see what standing costs."""


@dataclass(frozen=True)
class Asked:
    """The run that is planned.  backend: never "auto".  kernel: that its guests boot; None: the best there is."""

    scenario: Scenario
    backend: str
    time_scale: float
    kernel: Path | None = None


@dataclass(frozen=True)
class Sizes:
    """What is played: runs of so many guests, each so often at either pace.

    Far enough from each other, they tell what each guest adds from what there is anyway.
    """

    guests: tuple[int, ...] = (1, 3, 8)
    repeats: int = 1

    def __post_init__(self) -> None:
        if len(set(self.guests)) < 2 or min(self.guests) < 1 or self.repeats < 1:
            raise InputError(
                "sizes that tell nothing of others",
                expected="two different numbers of guests or more, and at least one run of each",
                found=f"{', '.join(map(str, self.guests))}, {self.repeats} runs of each",
            )


@dataclass(frozen=True)
class Played:
    """A run in small.  disturbed: why it would be invalid as a run of its own; its use counts nevertheless."""

    size: Size
    used: Used
    disturbed: tuple[str, ...]


def in_small(scenario: Scenario, guests: int) -> Scenario:
    """So many guests of the scenario's, the share of a list that is contacted at a time kept."""
    fleet, retrieval = scenario.fleet, scenario.retrieval
    per_guest = min(fleet.terminals_per_guest, fleet.terminals)
    terminals = guests * per_guest
    contacts = max(1, round(share_of_list(scenario) * min(terminals, retrieval.list_size)))
    update = {"concurrency": min(contacts, retrieval.list_size)}
    return scenario.model_copy(
        update={
            "fleet": fleet.model_copy(update={"terminals": terminals, "terminals_per_guest": per_guest}),
            "retrieval": retrieval.model_copy(update=update),
        }
    )


def paces(scenario: Scenario, asked: float, makespan_s: float) -> tuple[float, float]:
    """The time scales at which runs in small are played; makespan_s: of the scenario, not scaled."""
    fastest = scenario.power.on_ns / 1e9 / LEAST_ON_S
    fast = max(asked, min(fastest, makespan_s / RUN_S))
    return fast, fast / SLOWER


def play_small(asked: Asked, time_scales: Sequence[float], sizes: Sizes, on_event: OnEvent) -> Iterator[Played]:
    """Play all sizes, repeatedly, with seeds of their own.  on_event: {"phase": "measure", …} before each."""
    scenario = asked.scenario
    call_in_lab("hostemu.runner.forecast.small:warm_up", None)
    runs = list(product(range(sizes.repeats), time_scales, sizes.guests))
    parent = cache_dir("plans")
    for number, (repeat, time_scale, guests) in enumerate(runs):
        note = f"{guests} guests, {time_scale:.3g} times faster"
        on_event({"phase": "measure", "done": number, "total": len(runs), "note": note})
        small = in_small(scenario, guests).model_copy(update={"seed": scenario.seed + repeat})
        with _folder(parent) as folder:
            result = _play(asked, small, folder, time_scale)
        yield _played(small, result.summary)
    on_event({"phase": "measure", "done": len(runs), "total": len(runs)})


def _play(asked: Asked, small: Scenario, folder: Path, time_scale: float) -> Result:
    return play_real(small, asked.backend, folder, time_scale, lambda _event: None, asked.kernel, settle_s=SETTLE_S)


def warm_up(_argument: Any, _emit: OnEvent) -> None:
    """Inside a lab: have the emulator compiled, which happens once and is no part of what a run takes."""
    with Engine(Network(1)):
        pass


@contextmanager
def _folder(parent: Path) -> Iterator[Path]:
    """A folder for a run; those of plans that were killed are removed.  HostError when it cannot be written."""
    try:
        sweep(parent)
        with work_folder(parent) as (folder, _):
            yield folder
    except OSError as error:
        raise unwritable(parent, error) from error


def _played(scenario: Scenario, summary: dict[str, Any]) -> Played:
    if not summary["used"].get("memory"):
        raise HostError("this kernel does not let the memory of processes be looked into", hint="run as root")
    return Played(
        size_of(scenario, summary["attempts"]["mean"] * summary["terminals"], summary["used"]["run_s"]),
        summary["used"],
        () if summary["verdict"] == "valid" else tuple(summary["verdict"]),
    )
