"""The options by which verbs are told what actions cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console

from hostemu.fitting import find_models, holds_models, load_charged, load_costs_or_models, remarks
from hostemu.measure.costs import FREE, NO_COSTS, Charge, Costs
from hostemu.measure.host import host_facts

ModelOption = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="FILE",
        help="What actions cost in CPU time: costs.toml or models.toml made by `hostemu calibrate`, or "
        "thesis-2008-models; without it computation costs no time.",
    ),
]
ModelBackendOption = Annotated[
    str, typer.Option("--backend", help="The guests whose costs are taken from a file with models of several.")
]
DEFAULT_BACKEND = "netns"


def costs_from(model: str | None, backend: str) -> Costs:
    """The costs that the user asks for; what there is to know of them is told on standard error."""
    return NO_COSTS if model is None else _loaded(load_costs_or_models, model, backend)


def charge_from(model: str | None, backend: str) -> Charge:
    """What guests in virtual time are charged; what there is to know of it is told on standard error."""
    if model is None:
        return FREE
    charge, path = _loaded(load_charged, model, backend).charge, find_models(model)
    return replace(charge, of=backend if holds_models(path) else path.stem)


def _loaded(load: Callable[[str, str, Mapping[str, Any]], Costs], model: str, backend: str) -> Costs:
    facts = host_facts()
    costs = load(model, backend, facts)
    for remark in remarks(costs, facts):
        text = f"{model}, {backend} guests: {remark}"
        Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)
    return costs
