"""The options by which verbs are told what actions cost."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from hostemu.fitting import load_costs_or_models, remarks
from hostemu.measure.costs import NO_COSTS, Costs
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
    if model is None:
        return NO_COSTS
    facts = host_facts()
    costs = load_costs_or_models(model, backend, facts)
    for remark in remarks(costs, facts):
        text = f"{model}, {backend} guests: {remark}"
        Console(stderr=True).print(text, highlight=False, markup=False, soft_wrap=True)
    return costs
