"""From what a campaign measured to models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hostemu.fitting.action_costs import cost_models
from hostemu.fitting.cells import Summary
from hostemu.fitting.memory import memory_models
from hostemu.fitting.models import Models, Named
from hostemu.fitting.throughput import throughput_models


def models_of(summary: Summary) -> Models:
    """The models of a campaign: memory, numbers that fit into some, CPU times of actions, throughput and the rest."""
    return Models.made(
        _models(summary), f"campaign {summary['campaign']}", _plain(summary["host"]), summary["last_at"]
    )


def _models(summary: Summary) -> Iterator[Named]:
    """Every model by its name, or why there is none."""
    for backend in summary["backends"]:
        yield from memory_models(summary, backend)
        yield from cost_models(summary, backend)
    yield from throughput_models(summary)


def _plain(host: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in host.items() if isinstance(value, (str, int, float, bool))}
