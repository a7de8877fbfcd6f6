"""What is kept in the user's cache: models of scenarios, and forecasts that runs are held against."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hostemu import __version__
from hostemu.base.cache import cache_dir, whole_file
from hostemu.fitting.models import Models, load_models, save_models
from hostemu.guests import backend as find_backend
from hostemu.measure.host import host_facts
from hostemu.runner.forecast.parts import share_of_list
from hostemu.scenario import Scenario

LAYOUT = 1
"""Of what is kept: another number makes all of it unknown."""

NOT_COSTLY = ("name", "title", "source", "seed")
MACHINE = ("cpu_model", "cores", "memory_bytes", "kernel", "python")
"""Facts of the host that must be the same for its models to hold."""


def models_path(scenario: Scenario, backend: str) -> Path:
    """Where the models of this scenario's kind are kept: for any number of terminals and any seed, of this machine.

    Another version, kernel, machine or setting has a file of its own; concurrency counts as a share of the list.
    """
    document = tomllib.loads(scenario.to_toml())
    for key in NOT_COSTLY:
        document.pop(key, None)
    document["fleet"].pop("terminals")
    document["retrieval"]["concurrency"] = f"{share_of_list(scenario):.2g}"
    made_of = {**find_backend(backend).identity(), "backend": backend}
    return cache_dir("plans") / f"models-{_digest(document, made_of, _machine())}.toml"


def forecast_path(scenario: Scenario, backend: str, time_scale: float) -> Path:
    """Where the latest forecast of exactly this run is kept."""
    document = tomllib.loads(scenario.to_toml())
    played = {"backend": backend, "time_scale": str(time_scale)}
    return cache_dir("plans") / f"forecast-{_digest(document, played, _machine())}.json"


def _machine() -> dict[str, str]:
    facts = host_facts()
    return {name: str(facts[name]) for name in MACHINE}


def _digest(*facts: Mapping[str, Any]) -> str:
    text = json.dumps([LAYOUT, __version__, *facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def kept_models(scenario: Scenario, backend: str) -> Models | None:
    """The models of this scenario's kind, if it has been measured on this machine."""
    path = models_path(scenario, backend)
    return load_models(path) if path.exists() else None


def keep_models(models: Models, scenario: Scenario, backend: str) -> Path:
    """Keep models for later plans; returns where."""
    path = models_path(scenario, backend)
    save_models(models, path)
    return path


def keep_forecast(found: Mapping[str, Any], scenario: Scenario, backend: str, time_scale: float) -> None:
    """Keep a forecast for the run that it is of."""
    with whole_file(forecast_path(scenario, backend, time_scale)) as draft:
        draft.write_text(json.dumps(found))


def kept_forecast(scenario: Scenario, backend: str, time_scale: float) -> dict[str, Any]:
    """What was planned for exactly this run; empty when nothing was."""
    try:
        found: dict[str, Any] = json.loads(forecast_path(scenario, backend, time_scale).read_text())
    except (OSError, ValueError):
        return {}
    return found
