"""The plan of a campaign: every single measurement, gathered into blocks that one guest serves, in random order.

Pure: the same definition and backends give the same plan, and a plan with more backends holds the smaller one in the
same order, so that a campaign can be interrupted, continued and extended.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from hostemu.base.streams import Stream
from hostemu.base.units import format_size_bytes
from hostemu.measure import definition, traffic
from hostemu.measure.definition import BARE_HOST, Campaign, CostRuns
from hostemu.measure.settings import Figure, Shared, parameters_of

COST_SCENARIOS = ("cost-exchange", "cost-refused")
LOOPBACK = "loopback"
"""The wiring of the bare host."""

WITHOUT_GUESTS = frozenset({"iperf", "tbench", "packets"})
"""Figures that make sense on the bare host."""

START_S = 3.0
"""A guess, for the time that is left: a lab and a guest."""

BURST_S = 0.6
"""A guess: a burst of frames, until a router is idle again."""

SEARCH_STEPS = 12
"""A guess: attempts until the number of terminals that a guest can run is known."""


ACTIONS = 3
"""That figure `actions` measures one after the other."""


@dataclass(frozen=True)
class Cell:
    """What is measured several times: a figure of a backend, with parameters (name, value)."""

    figure: str
    backend: str
    parameters: tuple[tuple[str, str | float], ...] = ()

    def __str__(self) -> str:
        """As people read it: "iperf, netns, wiring gine"."""
        return ", ".join([self.figure, self.backend, *(f"{name} {value}" for name, value in self.parameters)])

    @property
    def values(self) -> dict[str, Any]:
        """The parameters by name."""
        return dict(self.parameters)

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {"figure": self.figure, "backend": self.backend, "parameters": self.values}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Cell:
        """The cell from plain data."""
        return Cell(document["figure"], document["backend"], tuple(document["parameters"].items()))


@dataclass(frozen=True)
class Block:
    """Repeats (from 1) of one cell that are measured on one guest, after `warm_up` that do not count."""

    cell: Cell
    repeats: tuple[int, ...]
    warm_up: int = 0

    def without(self, done: Collection[int]) -> Block | None:
        """The block without repeats that are done; None when that is all of them."""
        left = tuple(repeat for repeat in self.repeats if repeat not in done)
        return Block(self.cell, left, self.warm_up) if left else None


def cells(campaign: Campaign, backends: Sequence[str]) -> Iterator[Cell]:
    """Every cell, in the order of the figures; those that make no sense on the bare host left out."""
    for figure, settings in campaign.figures():
        for backend in backends:
            if backend != BARE_HOST or figure in WITHOUT_GUESTS:
                for parameters in _parameters(settings, backend):
                    yield Cell(figure, backend, parameters)


def _parameters(settings: Figure | CostRuns, backend: str) -> Iterator[tuple[tuple[str, str | float], ...]]:
    match settings:
        case traffic.Traffic():
            wirings = (LOOPBACK,) if backend == BARE_HOST else settings.wirings_of(backend)
            for wiring, chosen in product(wirings, parameters_of(*settings.varied)):
                yield (("wiring", wiring), *chosen)
        case definition.Memory():
            for size in settings.memory_bytes:
                yield (("memory", format_size_bytes(size)),)
        case definition.Load():
            for terminals in settings.terminals:
                yield (("terminals", terminals),)
        case definition.Guests():
            for budget in settings.budgets:
                yield (("budget", format_size_bytes(budget)),)
            for share in settings.shares:
                yield (("share", share),)
        case definition.Terminals():
            for power in settings.powers:
                yield (("power", power),)
        case CostRuns():
            for scenario in COST_SCENARIOS:
                yield (("scenario", scenario),)
        case _:
            yield ()


def plan(campaign: Campaign, backends: Sequence[str]) -> list[Block]:
    """Every block, in the order in which they are to be measured."""
    blocks = [block for cell in cells(campaign, backends) for block in _blocks(campaign, cell)]
    if campaign.order == "random":
        blocks.sort(key=lambda block: _place(campaign.seed, block))
    return blocks


def _blocks(campaign: Campaign, cell: Cell) -> Iterator[Block]:
    settings = getattr(campaign, cell.figure)
    together, warm_up = (settings.per_guest, settings.warm_up) if isinstance(settings, Shared) else (1, 0)
    for first in range(1, settings.repeats + 1, together):
        last = min(first + together - 1, settings.repeats)
        yield Block(cell, tuple(range(first, last + 1)), warm_up)


def _place(seed: int, block: Block) -> int:
    """Where in the order a block stands: a random number of its own, whatever other blocks there are."""
    return Stream.named(seed, "campaign order", str(block.cell), block.repeats[0]).u64(0)


def remaining(blocks: Sequence[Block], done: Mapping[Cell, Collection[int]]) -> list[Block]:
    """The blocks without what is done, in the same order."""
    left = (block.without(done.get(block.cell, ())) for block in blocks)
    return [block for block in left if block is not None]


def expected_s(campaign: Campaign, block: Block) -> float:
    """A guess at how long a block takes; only ever used to tell how much time is left."""
    settings = getattr(campaign, block.cell.figure)
    once_s = _once_s(settings) + campaign.quiet.before_ns / 1e9
    return START_S + (len(block.repeats) + block.warm_up) * once_s


def _once_s(settings: Figure | CostRuns) -> float:
    match settings:
        case traffic.Tbench():
            return 1.2 * settings.duration_ns / 1e9 + 1  # tbench adds a fifth for its own warm-up
        case traffic.Routing():
            return settings.duration_ns / 1e9 + 1 + settings.bursts * BURST_S
        case traffic.Traffic():
            return settings.duration_ns / 1e9 + 1
        case definition.Memory():
            return 2 * settings.settle_ns / 1e9 + settings.marginal_guests * START_S
        case definition.Load():
            return settings.settle_ns / 1e9 + START_S
        case definition.Actions():
            return ACTIONS * settings.each_ns / 1e9
        case definition.Guests():
            return settings.at_most * 0.2
        case definition.Terminals():
            return SEARCH_STEPS * (START_S + settings.hold_ns / 1e9)
        case CostRuns():
            return 6.0
        case _:
            return START_S
