"""Files that say what actions cost: cost files, and model files, of which the costs are taken."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hostemu.fitting.action_costs import UNKNOWN, costs_from_models
from hostemu.fitting.models import KIND, different_facts, find_models, load_models, require_host
from hostemu.measure.costs import Costs, load_costs


def load_costs_or_models(name_or_path: str, backend: str, facts: Mapping[str, Any]) -> Costs:
    """The costs in a file of either kind, or in a shipped model file by its name.

    backend: whose, of a model file's.  facts: of this machine, since models of another one are refused; the thesis'
    are of none.  InputError, which names the file, for one that cannot be read or has no such costs.
    """
    path = find_models(name_or_path)
    if not holds_models(path):
        return load_costs(path)
    models = load_models(path)
    require_host(models, facts, path)
    return costs_from_models(models, backend)


def holds_models(path: Path) -> bool:
    """Whether it is a model file, sound or not; a file that cannot be read is none."""
    with suppress(OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return tomllib.loads(path.read_text(encoding="utf-8")).get("kind") == KIND
    return False


def remarks(costs: Costs, facts: Mapping[str, Any]) -> Iterator[str]:
    """What the user of a cost model should know of it: what it lacks, and that it is of another machine."""
    if UNKNOWN in costs.extras:
        yield f"not known, and taken to cost nothing: {costs.extras[UNKNOWN]}"
    host = {} if costs.provenance is None else costs.provenance.host
    for name in different_facts(host, facts):
        yield f"these costs were measured on another machine: {name} {host[name]}, here {facts.get(name)}"
