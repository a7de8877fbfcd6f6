"""Models of a scenario's parts: those that are kept, or new ones of runs in small."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hostemu.fitting.models import Models
from hostemu.measure.host import host_facts
from hostemu.measure.journal import now
from hostemu.runner.forecast.parts import fit_parts
from hostemu.runner.forecast.predict import Twin
from hostemu.runner.forecast.small import Played, play_small, time_scale_of
from hostemu.runner.play import OnEvent
from hostemu.scenario import Scenario


def measure(
    scenario: Scenario, backend: str, kernel: Path | None, time_scale: float, twin: Twin, on_event: OnEvent
) -> Models:
    """Play the scenario in small on this backend, and fit; about a minute or two.

    time_scale: that is planned with; runs in small may be played faster.  twin: of the scenario at that scale.
    """
    scale = time_scale_of(scenario, time_scale, twin.makespan_s * time_scale)
    runs = list(play_small(scenario, backend, kernel, scale, on_event))
    return Models(
        _source(runs, scale), fit_parts(backend, [(run.size, run.used) for run in runs]), host_facts(), now()
    )


def _source(runs: Sequence[Played], scale: float) -> str:
    """For people: what was played, and whether the machine was quiet."""
    sizes = ", ".join(str(guests) for guests in sorted({run.size.guests for run in runs}))
    disturbed = sum(bool(run.disturbed) for run in runs)
    note = f"; {disturbed} of them on a busy machine" if disturbed else ""
    return f"{len(runs)} runs in small, of {sizes} guests, {scale:g} times faster{note}"
