"""One block of a campaign, inside a lab: sets up what is measured, measures it, and tells of every value at once."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hostemu.base.errors import RunError
from hostemu.measure import (
    actions,
    boot_time,
    ease,
    frame_rate,
    kernel_entries,
    load,
    memory,
    number_of_guests,
    packet_rate,
    router_capacity,
    sharing,
    terminals_per_guest,
    throughput_iperf,
    throughput_tbench,
)
from hostemu.measure.bench import Bench, Farm, Once, Sample
from hostemu.measure.definition import Campaign
from hostemu.measure.host import LoadMonitor, Window, read_sample
from hostemu.measure.journal import Measurement, now
from hostemu.measure.plan import Block, Cell
from hostemu.measure.wiring import backend_of

Emit = Callable[[dict[str, Any]], None]

KINDS: Mapping[str, Callable[[Bench], AbstractContextManager[Once]]] = {
    "iperf": throughput_iperf.opened,
    "tbench": throughput_tbench.opened,
    "packets": packet_rate.opened,
    "stream": frame_rate.opened,
    "sharing": sharing.opened,
    "router": router_capacity.opened,
    "memory": memory.opened,
    "load": load.opened,
    "guests": number_of_guests.opened,
    "boot": boot_time.opened,
    "terminals": terminals_per_guest.opened,
    "ease": ease.opened,
    "actions": actions.opened,
    "entries": kernel_entries.opened,
}
"""How each figure is measured in a lab."""


@dataclass(frozen=True)
class Order:
    """What is to be measured.  folder: for files of this block alone."""

    campaign: Campaign
    block: Block
    folder: Path

    def as_json(self) -> dict[str, Any]:
        """As plain data, to be handed into a lab."""
        block = {"cell": self.block.cell.as_json(), "repeats": self.block.repeats, "warm_up": self.block.warm_up}
        return {"campaign": self.campaign.document(), "block": block, "folder": str(self.folder)}

    @staticmethod
    def from_json(document: Mapping[str, Any]) -> Order:
        """The order from plain data."""
        block = document["block"]
        return Order(
            Campaign.model_validate(document["campaign"]),
            Block(Cell.from_json(block["cell"]), tuple(block["repeats"]), block["warm_up"]),
            Path(document["folder"]),
        )


def run_block(order: Order, emit: Emit, farms: Mapping[str, Farm]) -> None:
    """Measure a block; every measurement is emitted as {"measured": …} when it is finished.

    farms: how terminals are run in guests, by backend.  Raises an error of our tree for the first that fails.
    """
    cell = order.block.cell
    order.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(
        backend=backend_of(cell.backend),
        settings=getattr(order.campaign, cell.figure),
        parameters=cell.values,
        folder=order.folder,
        seed=order.campaign.seed,
        note=lambda text: emit({"note": text}),
        farm=farms.get(cell.backend),
    )
    before_s = order.campaign.quiet.before_ns / 1e9
    with KINDS[cell.figure](bench) as once:
        for at in range(order.block.warm_up):
            emit({"measured": _measured(cell, at + 1, once, before_s, warm_up=True).as_entry()})
        for repeat in order.block.repeats:
            emit({"measured": _measured(cell, repeat, once, before_s).as_entry()})


def _measured(cell: Cell, repeat: int, once: Once, before_s: float, *, warm_up: bool = False) -> Measurement:
    before, at = load_now(before_s), now()
    with LoadMonitor() as monitor:
        began_s = time.monotonic()
        sample = once()
        duration_s = time.monotonic() - began_s
    _check(sample)
    return Measurement(
        cell=cell,
        repeat=repeat,
        at=at,
        duration_s=duration_s,
        values=sample.values,
        raw=sample.raw,
        warm_up=warm_up,
        load_before=before,
        load=monitor.summary(),
    )


def _check(sample: Sample) -> None:
    """A value that is no number has no place in a journal."""
    wrong = {name: value for name, value in sample.values.items() if not math.isfinite(value)}
    if wrong or not sample.values:
        raise RunError("a measurement gave no number", found=str(wrong or asdict(sample)))


def load_now(seconds: float, proc: Path = Path("/proc")) -> dict[str, float]:
    """Shares of the usable cores' time, busy and stolen, over the next moments."""
    usable = frozenset(os.sched_getaffinity(0))
    first = read_sample(proc, usable)
    time.sleep(seconds)
    window = Window.between(first, read_sample(proc, usable))
    return {"busy": window.busy, "steal": window.steal}
