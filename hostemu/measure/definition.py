"""What a campaign definition says: what is measured, on which backends, how often, in what order, within what limits.

Every table but `quiet` is a figure: something that is measured, in cells of backend and parameter, `repeats` times.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hostemu.base.units import NS_PER_S
from hostemu.measure.settings import Count, Figure, Shared
from hostemu.measure.traffic import FrameRate, PacketRate, Routing, Sharing, Tbench, Throughput
from hostemu.scenario.quantities import Duration, MemorySize, PositiveDuration, Settings, inconsistent

BARE_HOST = "host"
"""In lists of backends: no guest at all, programs on the host itself, as a reference."""

FIGURES = (
    "iperf",
    "tbench",
    "packets",
    "stream",
    "sharing",
    "router",
    "memory",
    "load",
    "guests",
    "boot",
    "terminals",
    "ease",
    "costs",
    "actions",
    "entries",
)
"""Names of all figures, in the order in which they are listed."""

Share = Annotated[float, Field(gt=0.0, le=1.0)]
Names = Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")], ...], Field(strict=False)]
Sizes = Annotated[tuple[MemorySize, ...], Field(strict=False, min_length=1)]


class Memory(Figure):
    """Host memory of one idle guest, by configured size.

    settle_ns: from a guest's first answer until it is counted.
    marginal_guests: further guests, whose cost in the machine's available memory is the cross-check.
    """

    memory_bytes: Sizes = Field(alias="memory")
    settle_ns: Duration = Field(default=2 * NS_PER_S, alias="settle")
    marginal_guests: Annotated[int, Field(ge=1, le=100)] = 4


class Load(Figure):
    """Host memory of one guest, by the number of terminals that run in it, all of them on.

    terminals: numbers; 0 is the guest alone.  settle_ns: from when they take connections until it is counted.
    """

    memory_bytes: MemorySize = Field(alias="memory")
    terminals: Annotated[tuple[Annotated[int, Field(ge=0, le=60_000)], ...], Field(strict=False, min_length=1)]
    settle_ns: Duration = Field(default=1 * NS_PER_S, alias="settle")


class Guests(Figure):
    """How many guests fit into memory budgets.

    budgets: in bytes.  shares: of what this machine has available when the ramp begins.
    safe_share: never more than this share of it, whatever the budget.
    at_a_time: guests that start together.  at_most: guests, whatever the budget.
    """

    memory_bytes: MemorySize = Field(alias="memory")
    budgets: Annotated[tuple[MemorySize, ...], Field(strict=False)] = ()
    shares: Annotated[tuple[Share, ...], Field(strict=False)] = ()
    safe_share: Share = 0.8
    at_a_time: Annotated[int, Field(ge=1, le=64)] = 4
    at_most: Annotated[int, Field(ge=1, le=4000)] = 2000


class Boot(Figure):
    """From the start of a guest to its first answer."""

    memory_bytes: MemorySize = Field(alias="memory")


class Terminals(Figure):
    """How many terminals one guest can run.

    powers: "cycle", on and off as in the thesis' experiment, or "on", all of them all the time.
    first: the number that is tried first; it doubles until it fails, then the border is searched.
    resolution: the border's width, as a share.
    hold_ns: for how long they must run.
    """

    memory_bytes: MemorySize = Field(alias="memory")
    powers: Annotated[tuple[Literal["cycle", "on"], ...], Field(strict=False, min_length=1)] = ("cycle", "on")
    hold_ns: Duration = Field(default=5 * NS_PER_S, alias="hold")
    first: Count = 100
    at_most: Annotated[int, Field(ge=1, le=60_000)] = 20_000
    resolution: Share = 0.05


class Ease(Figure):
    """What it takes from nothing to a guest that answers over its NIC: commands, files, settings, privileges."""

    memory_bytes: MemorySize = Field(alias="memory")


class CostRuns(Settings):
    """Runs of the cost scenarios, which have deadlines of their own: each action's cost in CPU time."""

    repeats: Annotated[int, Field(ge=1, le=1000)]


class Actions(Shared):
    """CPU time of a guest for single actions.  each_ns: for how long each of them is done again and again."""

    memory_bytes: MemorySize = Field(default=256 * 2**20, alias="memory")
    each_ns: PositiveDuration = Field(default=1 * NS_PER_S, alias="each")


class KernelEntries(Shared):
    """Time of a guest for a system call, and for a page fault.

    calls, children: how many system calls, and empty child processes, make one value.
    """

    memory_bytes: MemorySize = Field(default=32 * 2**20, alias="memory")
    calls: Annotated[int, Field(ge=1000, le=100_000_000)] = 200_000
    children: Annotated[int, Field(ge=10, le=1_000_000)] = 200


class Quiet(Settings):
    """How quiet the machine must be before a measurement, or a warning says that it was not.

    before_ns: the time over which that is looked at.  busy, steal: shares of all cores' time.
    """

    before_ns: Duration = Field(default=1 * NS_PER_S, alias="before")
    busy: Share = 0.10
    steal: Share = 0.02


class Campaign(Settings):
    """One campaign.

    seed: of the order, and of the emulator.  order: "random", or "listed" as in this file.
    backends: measured unless the user names others; "host" is the bare host.
    failures: after so many in one cell, the rest of the cell is given up for the session.
    """

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    title: Annotated[str, Field(max_length=200)] = ""
    source: Annotated[str, Field(max_length=500)] = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    order: Literal["random", "listed"] = "random"
    backends: Names
    failures: Annotated[int, Field(ge=1, le=100)] = 2
    quiet: Quiet = Quiet()
    iperf: Throughput | None = None
    tbench: Tbench | None = None
    memory: Memory | None = None
    load: Load | None = None
    guests: Guests | None = None
    boot: Boot | None = None
    packets: PacketRate | None = None
    stream: FrameRate | None = None
    sharing: Sharing | None = None
    router: Routing | None = None
    terminals: Terminals | None = None
    ease: Ease | None = None
    costs: CostRuns | None = None
    actions: Actions | None = None
    entries: KernelEntries | None = None

    @model_validator(mode="after")
    def _measures_something(self) -> Self:
        if not dict(self.figures()):
            raise inconsistent(("name",), f"at least one figure: {', '.join(FIGURES)}", "none")
        if not self.backends:
            raise inconsistent(("backends",), "at least one backend", "none")
        return self

    def figures(self) -> Iterator[tuple[str, Figure | CostRuns]]:
        """Every figure that is measured, by name, in the order of the tables."""
        for name in FIGURES:
            settings = getattr(self, name)
            if settings is not None:
                yield name, settings

    def document(self) -> dict[str, Any]:
        """The complete definition, defaults included, as it reads back."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


IGNORED = frozenset({"title", "source", "backends"})
"""Keys in which definitions may differ and still be of the same campaign."""


def differences(old: Mapping[str, Any], new: Mapping[str, Any], path: str = "") -> list[str]:
    """What differs between the documents of two definitions, as "KEY: OLD, now NEW"."""
    found = []
    for key in [*old, *(key for key in new if key not in old)]:
        if not path and key in IGNORED:
            continue
        before, now = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            found += differences(before, now, f"{path}{key}.")
        elif before != now:
            found.append(f"{path}{key}: {before!r}, now {now!r}")
    return found
