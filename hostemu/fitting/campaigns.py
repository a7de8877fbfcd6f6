"""From what a campaign measured, or the thesis published, to models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hostemu.base.units import parse_size_bytes
from hostemu.fitting.choice import best_fit
from hostemu.fitting.models import Model, Models
from hostemu.fitting.throughput import throughput_models

MEMORY_FORMS = ("constant", "linear", "knee")
"""A guest takes what it has touched: always the same, more with its configured memory, or more up to some size."""

Summary = Mapping[str, Any]
MB = 1 << 20


def models_of(summary: Summary) -> Models:
    """The models of a campaign: memory by configured size; what `hostemu.fitting.throughput` makes of the rest."""
    found = dict(_models(summary))
    return Models(f"campaign {summary['campaign']}", found, _plain(summary["host"]), summary["last_at"])


def _models(summary: Summary) -> Iterator[tuple[str, Model]]:
    for backend in summary["backends"]:
        x, y = _memory_points(summary, backend)
        if x:
            yield (
                f"memory-{backend}",
                Model("memory_bytes", "configured_bytes", backend, best_fit(MEMORY_FORMS, x, y)),
            )
    yield from throughput_models(summary)


def _memory_points(summary: Summary, backend: str) -> tuple[list[float], list[float]]:
    """(configured bytes, bytes taken) of every repeat."""
    x: list[float] = []
    y: list[float] = []
    for cell in summary["cells"]:
        if (cell["figure"], cell["backend"]) == ("memory", backend):
            values = cell["quantities"].get("memory_bytes", {}).get("values", [])
            x += [float(parse_size_bytes(cell["parameters"]["memory"]))] * len(values)
            y += values
    return x, y


def _plain(host: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in host.items() if isinstance(value, (str, int, float, bool))}


def thesis_models(thesis: Mapping[str, Any]) -> Models:
    """The models of the thesis' table 2: memory by configured size.  thesis: models/thesis-2008.toml."""
    found = {}
    for backend, sizes in thesis["table2"].items():
        if isinstance(sizes, Mapping):
            x = [float(size) * MB for size in sizes]
            y = [float(taken) * MB for taken in sizes.values()]
            model = Model("memory_bytes", "configured_bytes", backend, best_fit(MEMORY_FORMS[:2], x, y))
            found[f"memory-{backend}"] = model
    return Models(f"{thesis['source']}, table 2", found)
