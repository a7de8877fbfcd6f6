"""Carries out a campaign, from outside the labs: a lab for every block, a line in the journal for every measurement.

Whatever ends the program, what was measured stays; `resume` goes on with the rest.  A block that fails, hangs or is
killed costs its own measurement only: the failure is noted, and the block goes on in a new lab.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hostemu.base.cache import whole_file
from hostemu.base.errors import HostemuError, HostError, RunError
from hostemu.fitting import models_of, save_models
from hostemu.lab import call_in_lab
from hostemu.lab.worker import as_json
from hostemu.measure.awake import cores_awake
from hostemu.measure.block import Order
from hostemu.measure.costs import save_costs
from hostemu.measure.definition import Campaign
from hostemu.measure.journal import Failure, Journal, now, read_journal
from hostemu.measure.plan import Block, Cell, plan, remaining
from hostemu.measure.refusals import refusal
from hostemu.measure.summary import summarise
from hostemu.runner.calibrate import costs_of, measure_cost
from hostemu.runner.campaign_progress import Progress
from hostemu.runner.campaign_session import session_facts
from hostemu.runner.places import Places

OnEvent = Callable[[dict[str, Any]], None]

LAB_S = 120.0
"""What a lab may take beside the measurements: compiling the emulator for the first time, mostly."""


def run_campaign(
    campaign: Campaign, backends: Sequence[str], places: Places, on_event: OnEvent, *, resume: bool
) -> dict[str, Any]:
    """Measure everything that is not measured yet; returns the summary.

    on_event: {"phase", "done", "total", "note"} for progress, {"line"} for a line of text.
    Raises InputError for unknown backends and for a journal that may not be continued, HostError where no lab can be
    made or the journal cannot be written, RunError when there is not one value at the end.
    """
    session = session_facts(campaign, backends)
    with (
        cores_awake() as are_awake,
        Journal.open(
            places.journal, campaign.document(), session | {"cores_awake": are_awake}, resume=resume
        ) as journal,
    ):
        shutil.rmtree(places.blocks, ignore_errors=True)
        possible = list(_possible(plan(campaign, list(session["backends"])), session, on_event))
        _Conductor(campaign, places, journal, on_event).conduct(possible)
    content = read_journal(places.journal)
    summary = summarise(content)
    _save(summary, places.summary)
    if places.blocks.is_dir() and not any(places.blocks.iterdir()):
        places.blocks.rmdir()
    if not any(cell["measured"] for cell in summary["cells"]):
        raise RunError("nothing could be measured", found="; ".join(_reasons(summary)), log=places.journal)
    if places.models is not None:
        save_models(models_of(summary), places.models)
    if places.costs is not None:
        (backend,) = session["backends"]
        save_costs(costs_of(content.measurements, backend), places.costs)
    return summary


def _save(summary: Mapping[str, Any], path: Path | None) -> None:
    if path is not None:
        try:
            with whole_file(path) as draft:
                draft.write_text(json.dumps(summary, indent=2) + "\n")
                draft.chmod(0o644)
        except OSError as error:
            raise HostError(
                f"cannot write {path}: {error.strerror}", hint="the journal beside it is complete"
            ) from error


def _possible(blocks: Sequence[Block], session: Mapping[str, Any], on_event: OnEvent) -> Iterator[Block]:
    """The blocks that can be measured here; why others cannot is told, each reason once."""
    refused: dict[str, dict[str, None]] = {}
    for block in sorted(blocks, key=lambda block: list(session["backends"]).index(block.cell.backend)):
        reason = refusal(block.cell, session["backends"][block.cell.backend], session["tools"])
        if reason is not None:
            said = session["backends"][block.cell.backend]
            refused.setdefault(reason, {})[str(block.cell) if said["usable"] else block.cell.backend] = None
    for reason, whats in refused.items():
        on_event({"line": f"not measured: {'; '.join(whats)}: {reason}"})
    for block in blocks:
        if refusal(block.cell, session["backends"][block.cell.backend], session["tools"]) is None:
            yield block


def _reasons(summary: Mapping[str, Any]) -> Iterator[str]:
    """Why cells have no value, each reason once, with the backend that has it."""
    yield from dict.fromkeys(f"{cell['backend']}: {cell['reason']}" for cell in summary["cells"])


class _Conductor:
    """One session of a campaign."""

    def __init__(self, campaign: Campaign, places: Places, journal: Journal, on_event: OnEvent) -> None:
        self._campaign = campaign
        self._places = places
        self._journal = journal
        self._on_event = on_event
        self._done = journal.content.done()
        self._failures: dict[Cell, int] = {}

    def conduct(self, planned: Sequence[Block]) -> None:
        """Measure every planned block that is not measured yet, in this order."""
        left = remaining(planned, self._done)
        self.progress = Progress(self._campaign, planned, left, self._done, self._on_event)
        for block in left:
            self.progress.begin(block)
            self._measure(block)
            self.progress.end()

    def _measure(self, block: Block) -> None:
        """Measure a block, in new labs as often as it fails, until the cell is given up."""
        left: Block | None = block
        while left is not None and self._failures.get(block.cell, 0) < self._campaign.failures:
            error = self._attempt(left)
            left = left.without(self._done.get(block.cell, ()))
            if error is not None:
                self._failures[block.cell] = self._failures.get(block.cell, 0) + 1
                repeat = block.repeats[-1] if left is None else left.repeats[0]
                self._journal.append(Failure(block.cell, repeat, now(), as_json(error)).as_entry())
                self.progress.line(f"failed: {block.cell}, repeat {repeat}: {error.message}")

    def _attempt(self, block: Block) -> HostemuError | None:
        """Measure a block; the error that ended it.  What the journal cannot take is raised."""
        folder = self._places.blocks / _file_name(block)
        recorder = _Recorder(self, block)
        try:
            if block.cell.figure == "costs":
                self._costs(block, folder, recorder)
            else:
                order = Order(self._campaign, block, folder).as_json()
                limit_s = self._limit_s(block)
                call_in_lab("hostemu.runner.campaign_lab:measure", order, on_event=recorder, timeout_s=limit_s)
        except HostemuError as error:
            if recorder.broken is not None:
                raise recorder.broken from error
            return error
        shutil.rmtree(folder, ignore_errors=True)
        return None

    def _costs(self, block: Block, folder: Path, recorder: _Recorder) -> None:
        for repeat in block.repeats:
            measurement = measure_cost(block.cell, repeat, folder, self._campaign.quiet.before_ns / 1e9)
            recorder({"measured": measurement.as_entry()})

    def _limit_s(self, block: Block) -> float:
        """When a lab is given up: every guest may take its time to start, and every measurement its own."""
        settings = getattr(self._campaign, block.cell.figure)
        count = len(block.repeats) + block.warm_up
        once_s = (settings.timeout_ns + settings.start_ns + self._campaign.quiet.before_ns) / 1e9
        return LAB_S + count * float(once_s)

    def take(self, entry: Mapping[str, Any]) -> None:
        """A measurement is finished: on the disk when this returns."""
        self._journal.append(entry)
        cell = Cell.from_json(entry)
        if not entry["warm_up"]:
            self._done.setdefault(cell, set()).add(entry["repeat"])
        self.progress.tell(cell)


class _Recorder:
    """Takes the events of a block.  broken: the error that kept a measurement from being written."""

    def __init__(self, conductor: _Conductor, block: Block) -> None:
        self.broken: HostemuError | None = None
        self._conductor = conductor
        self._block = block

    def __call__(self, event: dict[str, Any]) -> None:
        if "measured" in event:
            try:
                self._conductor.take(event["measured"])
            except HostemuError as error:
                self.broken = error
                raise
        elif "note" in event:
            self._conductor.progress.tell(self._block.cell, event["note"])


def _file_name(block: Block) -> str:
    """A folder's name for a block."""
    words = [block.cell.figure, block.cell.backend, *(str(value) for _, value in block.cell.parameters)]
    return "-".join([*words, str(block.repeats[0])]).replace(" ", "")
