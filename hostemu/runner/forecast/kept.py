"""What is kept in the user's cache: models of scenarios, and forecasts that runs are held against."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from hostemu import __version__
from hostemu.base.cache import cache_dir, whole_file
from hostemu.base.errors import HostError
from hostemu.fitting.models import Models, load_models, save_models
from hostemu.guests import backend as find_backend
from hostemu.measure.host import host_facts
from hostemu.runner.forecast.parts import share_of_list
from hostemu.scenario import Scenario

LAYOUT = 3
"""Of what is kept: another number makes all of it unknown."""

NOT_COSTLY = ("name", "title", "source", "seed")
MACHINE = ("cpu_model", "cores", "memory_bytes", "kernel", "python")
"""Facts of the host that must be the same for its models to hold."""


def models_path(scenario: Scenario, backend: str, kernel: Path | None = None) -> Path:
    """Where the models of this scenario's kind are kept: for any number of terminals and any seed, of this machine.

    Another version, kernel, machine or setting has a file of its own; concurrency counts as a share of the list.
    """
    document = tomllib.loads(scenario.to_toml())
    for key in NOT_COSTLY:
        document.pop(key, None)
    document["fleet"].pop("terminals")
    document["retrieval"]["concurrency"] = f"{share_of_list(scenario):.2g}"
    return cache_dir("plans") / f"models-{_digest(document, _guests(backend, kernel), _machine())}.toml"


def forecast_path(scenario: Scenario, backend: str, time_scale: float, kernel: Path | None = None) -> Path:
    """Where the latest forecast of exactly this run is kept."""
    document = tomllib.loads(scenario.to_toml())
    played = {**_guests(backend, kernel), "time_scale": str(time_scale)}
    return cache_dir("plans") / f"forecast-{_digest(document, played, _machine())}.json"


def _guests(backend: str, kernel: Path | None) -> dict[str, str]:
    """What guests are made of; kernel: one that the user names."""
    named = "" if kernel is None else hashlib.sha256(kernel.read_bytes()).hexdigest()
    return {**find_backend(backend).identity(), "backend": backend, "named_kernel": named}


def _machine() -> dict[str, str]:
    facts = host_facts()
    return {name: str(facts[name]) for name in MACHINE}


def _digest(*facts: Mapping[str, Any]) -> str:
    text = json.dumps([LAYOUT, __version__, *facts], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def kept_models(scenario: Scenario, backend: str, kernel: Path | None = None) -> Models | None:
    """The models of this scenario's kind, if it has been measured on this machine."""
    path = models_path(scenario, backend, kernel)
    return load_models(path) if path.exists() else None


def keep_models(models: Models, scenario: Scenario, backend: str, kernel: Path | None = None) -> Path:
    """Keep models for later plans; returns where."""
    path = models_path(scenario, backend, kernel)
    save_models(models, path)
    return path


def keep_forecast(found: Mapping[str, Any], path: Path) -> None:
    """Keep a forecast for the run that it is of, at its `forecast_path`."""
    with whole_file(path) as draft:
        draft.write_text(json.dumps(found))


def planned_for(scenario: Scenario, backend: str, time_scale: float, kernel: Path | None) -> dict[str, Any]:
    """What was planned for exactly this run; empty when nothing was, or nothing can be kept."""
    with suppress(HostError):
        return kept_forecast(forecast_path(scenario, backend, time_scale, kernel))
    return {}


def kept_forecast(path: Path) -> dict[str, Any]:
    """What was planned for the run of this `forecast_path`; empty when nothing was."""
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found
