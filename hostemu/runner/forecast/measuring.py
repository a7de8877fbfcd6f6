"""Models of a scenario's parts: from a file, those that are kept, or new ones of runs in small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hostemu.fitting.models import Models
from hostemu.measure.host import host_facts
from hostemu.measure.journal import now
from hostemu.runner.forecast.files import Given
from hostemu.runner.forecast.kept import keep_models, kept_models
from hostemu.runner.forecast.parts import fit_parts
from hostemu.runner.forecast.predict import Twin
from hostemu.runner.forecast.small import Asked, Played, Sizes, paces, play_small
from hostemu.runner.play import OnEvent

MEASURED, KEPT = "measured just now", "measured earlier on this machine"


@dataclass(frozen=True)
class Means:
    """How models are come by.  given: in files.  sizes: of what is measured.

    may_measure: True: whatever is kept; None: where nothing is kept; False: never.
    """

    given: Given = field(default_factory=Given)
    may_measure: bool | None = None
    sizes: Sizes = field(default_factory=Sizes)


def find_models(asked: Asked, twin: Twin, means: Means, on_event: OnEvent) -> tuple[Models, str] | None:
    """The models to plan by, and where they come from; None where there are none.

    twin: of the scenario at the time scale that is planned with.
    Errors of runs come as they are.
    """
    if means.given.models is not None:
        return means.given.models, means.given.source
    kept = None if means.may_measure else kept_models(asked.scenario, asked.backend, asked.kernel)
    if kept is not None:
        return kept, KEPT
    if means.may_measure is False:
        return None
    models = _measure(asked, twin, means.sizes, on_event)
    keep_models(models, asked.scenario, asked.backend, asked.kernel)
    return models, MEASURED


def _measure(asked: Asked, twin: Twin, sizes: Sizes, on_event: OnEvent) -> Models:
    """Play the scenario in small, and fit; some three minutes.  It may be played faster than is planned with."""
    scales = paces(asked.scenario, asked.time_scale, twin.makespan_s * asked.time_scale)
    runs = list(play_small(asked, scales, sizes, on_event))
    fits = fit_parts(asked.backend, [(run.size, run.used) for run in runs])
    return Models(_source(runs, scales), fits, host_facts(), now())


def _source(runs: Sequence[Played], scales: Sequence[float]) -> str:
    """For people: what was played, and whether the machine was quiet."""
    sizes = ", ".join(str(guests) for guests in sorted({run.size.guests for run in runs}))
    disturbed = sum(bool(run.disturbed) for run in runs)
    note = f"; {disturbed} of them on a busy machine" if disturbed else ""
    faster = " and ".join(f"{scale:.3g}" for scale in scales)
    return f"{len(runs)} runs in small, of {sizes} guests, {faster} times faster{note}"
