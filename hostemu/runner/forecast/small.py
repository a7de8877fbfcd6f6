"""A scenario in small: a few of its guests, of which as large a share is contacted at a time.

It lasts as long as the whole, and its terminals are tried as often, since what a terminal waits for is the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hostemu.base.errors import RunError
from hostemu.gine import Engine, Network
from hostemu.lab import call_in_lab
from hostemu.runner.forecast.parts import Size, Used, size_of
from hostemu.runner.play import OnEvent, play_real
from hostemu.scenario import Scenario

GUESTS = (1, 3, 8)
"""Sizes that are played: far enough from each other to tell what each guest adds from what there is anyway."""

REPEATS = 2
RUN_S = 8.0
"""What such a run should take: the scenario is played faster, until it does."""

LEAST_ON_S = 0.2
"""A terminal's on time is not played shorter for that: programs would be late."""

SETTLE_S = 2.0
"""For so long the lab stands before the programs begin, to see what standing costs."""


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
    share = retrieval.concurrency / min(retrieval.list_size, fleet.terminals)
    contacts = max(1, round(share * min(terminals, retrieval.list_size)))
    update = {"concurrency": min(contacts, retrieval.list_size)}
    return scenario.model_copy(
        update={
            "fleet": fleet.model_copy(update={"terminals": terminals, "terminals_per_guest": per_guest}),
            "retrieval": retrieval.model_copy(update=update),
        }
    )


def time_scale_of(scenario: Scenario, asked: float, makespan_s: float) -> float:
    """How fast runs in small are played; makespan_s: of the scenario, not scaled."""
    fastest = scenario.power.on_ns / 1e9 / LEAST_ON_S
    return max(asked, min(fastest, makespan_s / RUN_S))


def play_small(
    scenario: Scenario, backend: str, kernel: Path | None, time_scale: float, on_event: OnEvent
) -> Iterator[Played]:
    """Play all sizes, repeatedly, with seeds of their own.  on_event: {"phase": "measure", …} before each."""
    call_in_lab("hostemu.runner.forecast.small:warm_up", None)
    runs = [(guests, repeat) for repeat in range(REPEATS) for guests in GUESTS]
    for number, (guests, repeat) in enumerate(runs):
        note = f"{guests} guests, {time_scale:g} times faster"
        on_event({"phase": "measure", "done": number, "total": len(runs), "note": note})
        small = in_small(scenario, guests).model_copy(update={"seed": scenario.seed + repeat})
        with _folder() as folder:
            result = play_real(small, backend, folder, time_scale, lambda _event: None, kernel, settle_s=SETTLE_S)
        yield _played(small, result.summary)
    on_event({"phase": "measure", "done": len(runs), "total": len(runs)})


def warm_up(_argument: Any, _emit: OnEvent) -> None:
    """Inside a lab: have the emulator compiled, which happens once and is no part of what a run takes."""
    with Engine(Network(1)):
        pass


@contextmanager
def _folder() -> Iterator[Path]:
    with TemporaryDirectory(prefix="hostemu-plan-") as name:
        yield Path(name)


def _played(scenario: Scenario, summary: dict[str, Any]) -> Played:
    if not summary["complete"] or not summary["used"]:
        raise RunError("a run in small did not finish", found="; ".join(summary["verdict"]))
    return Played(
        size_of(scenario, summary["attempts"]["mean"] * summary["terminals"], summary["used"]["run_s"]),
        summary["used"],
        () if summary["verdict"] == "valid" else tuple(summary["verdict"]),
    )
