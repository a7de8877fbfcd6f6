"""Which runs are of the same experiment: same scenario, same settings; the seed may differ."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any

from hostemu.scenario import Scenario, load_scenario, shipped_names
from hostemu.scenario.problems import Source, validated

IGNORED = frozenset({"seed", "title", "source"})


def settings(scenario_text: str) -> dict[str, Any]:
    """Every setting of a scenario by its dotted key, without the seed; what the text does not say has its default."""
    complete = validated(Scenario, tomllib.loads(scenario_text), Source("the record's scenario")).to_toml()
    flat = dict(_flatten(tomllib.loads(complete), ""))
    return {key: value for key, value in flat.items() if key not in IGNORED}


def _flatten(table: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def identity(scenario_text: str) -> str:
    """The same text for all runs of one experiment."""
    return json.dumps(settings(scenario_text), sort_keys=True)


def changes(name: str, scenario_text: str) -> list[str]:
    """What differs from the shipped scenario of that name, as KEY=VALUE; nothing when there is none of that name."""
    if name not in shipped_names():
        return []
    own, shipped = settings(scenario_text), settings(load_scenario(name).to_toml())
    different = {key for key in own.keys() | shipped.keys() if own.get(key) != shipped.get(key)}
    return [f"{key}={own.get(key, 'default')}" for key in sorted(different)]
