"""Model files that a plan is given: costs of actions, or models of a scenario's parts."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostemu.base.errors import InputError
from hostemu.fitting.models import Models, load_models, require_host
from hostemu.measure import costs
from hostemu.measure.host import host_facts


@dataclass(frozen=True)
class Given:
    """What files say; source: the file that the models are of."""

    costs: costs.Costs = costs.NO_COSTS
    models: Models | None = None
    source: str = ""


def read_given(paths: Sequence[Path]) -> Given:
    """The costs and the models in these files; InputError for others, and for models of another machine."""
    given = Given()
    for path in paths:
        if _kind(path) == costs.KIND:
            given = Given(costs.load_costs(path), given.models, given.source)
            continue
        models = load_models(path)
        require_host(models, host_facts(), path)
        if given.models is not None:
            raise InputError("two files of models", expected="one", found=f"{given.source}, {path}")
        given = Given(given.costs, models, str(path))
    return given


def _kind(path: Path) -> str:
    """What the file says it is; whoever loads it tells what is wrong with it."""
    with suppress(OSError, ValueError):
        return str(tomllib.loads(path.read_text(encoding="utf-8")).get("kind"))
    return ""
