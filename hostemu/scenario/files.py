"""Scenario files: the shipped ones by name, others by path, with overrides from the command line."""

from __future__ import annotations

from collections.abc import Sequence

from hostemu.base.errors import ScenarioError
from hostemu.scenario.model import Scenario
from hostemu.scenario.shelf import Shelf

SHELF = Shelf("scenario", "scenarios", Scenario, '--set lines.isp.delay="5 ms"', ScenarioError)


def load_scenario(name_or_path: str, overrides: Sequence[str] = (), time_scale: float = 1.0) -> Scenario:
    """A shipped scenario by name, or one from a file.

    overrides: "KEY=VALUE" with a dotted key; the value is read as TOML, else taken as text.
    time_scale: how many times faster it is to be played; see Scenario.scaled.
    Raises ScenarioError, which names file, line, key and value, for all problems at once.
    """
    return SHELF.load(name_or_path, overrides).scaled(time_scale)


def shipped_names() -> list[str]:
    """Names of the scenarios that come with hostemu."""
    return SHELF.names()
