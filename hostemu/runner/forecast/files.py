"""Model files that a plan is given: costs of actions, or models of a scenario's parts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hostemu.base.errors import InputError
from hostemu.fitting import Models, find_models, holds_models, load_costs_or_models, load_models, require_host
from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.measure.host import host_facts
from hostemu.runner.forecast.parts import PARTS


@dataclass(frozen=True)
class Given:
    """What files say; source: the file that the models are of."""

    costs: Costs = NO_COSTS
    models: Models | None = None
    source: str = ""


def read_given(names: Sequence[str], backend: str) -> Given:
    """The costs of guests of `backend`, and the models of parts, in these files, or shipped ones by their names.

    InputError for other files, for models of another machine, and for two files of models of parts.
    """
    given = Given()
    for name in names:
        path = find_models(name)
        models = _models_of_parts(path)
        if models is None:
            given = replace(given, costs=load_costs_or_models(name, backend, host_facts()))
            continue
        if given.models is not None:
            raise InputError("two files of models", expected="one", found=f"{given.source}, {path}")
        given = replace(given, models=models, source=str(path))
    return given


def _models_of_parts(path: Path) -> Models | None:
    """The models in a file that a plan has made; None for another file."""
    models = load_models(path) if holds_models(path) else None
    if models is None or not {model.quantity for model in models.models.values()} & {p.quantity for p in PARTS}:
        return None
    require_host(models, host_facts(), path)
    return models
