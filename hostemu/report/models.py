"""Models as tables: what they are, where they hold, and what they predict."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from hostemu.base.errors import InputError
from hostemu.fitting import Model, Models
from hostemu.fitting.models import ANY
from hostemu.measure.summary import unit_of
from hostemu.report.figures import scale_up_to
from hostemu.report.predictions import render_prediction


def described(models: Models, at: Mapping[str, float], backend: str | None = None) -> list[dict[str, Any]]:
    """One object per model: name, quantity, over, backend, form, n, range, deviation, coefficients, predictions.

    at: a value for variables by name; each model of one predicts for it.  backend: only models of such guests.
    deviation: of relative residuals.  InputError for a variable that no model has.
    """
    chosen = {name: model for name, model in models.models.items() if backend in (None, model.backend)}
    known = {model.over for model in chosen.values()} - {ANY}
    unknown = [name for name in at if name not in known]
    if unknown:
        raise InputError(
            f"no model is a function of {', '.join(unknown)}", expected=", ".join(sorted(known)) or "none at all"
        )
    return [_described(name, model, at) for name, model in chosen.items()]


def _described(name: str, model: Model, at: Mapping[str, float]) -> dict[str, Any]:
    fit = model.fit
    known = model.over == ANY or model.over in at
    prediction = model.at(at.get(model.over, fit.least)) if known else None
    return {
        "name": name,
        "quantity": model.quantity,
        "over": model.over,
        "backend": model.backend,
        "form": fit.form.name,
        "n": fit.n,
        "range": None if model.over == ANY else [fit.least, fit.most],
        "deviation": fit.deviation,
        "coefficients": {
            key: [found.value, *(end if math.isfinite(end) else None for end in (found.low, found.high))]
            for key, found in fit.coefficients.items()
        },
        "prediction": None if prediction is None else prediction.as_json(),
        "text": "" if prediction is None else render_prediction(prediction, unit_of(model.quantity)),
    }


HEADINGS = ("model", "form, and where it holds", "σ of errors", "coefficients (95 %)", "prediction")


def as_table(source: str, rows: list[dict[str, Any]]) -> Table:
    """For a terminal."""
    table = Table(title=f"models of {source}")
    for heading in HEADINGS:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*_cells(row))
    return table


def _cells(row: Mapping[str, Any]) -> Iterator[str]:
    yield row["name"]
    yield f"{row['form']}{_range(row)}"
    yield f"{row['deviation']:.1%} (n={row['n']})"
    yield "\n".join(_coefficient(name, *values) for name, values in row["coefficients"].items())
    yield row["text"]


def _range(row: Mapping[str, Any]) -> str:
    if row["range"] is None:
        return ""
    unit = unit_of(row["over"])
    scale = scale_up_to(row["range"][1], unit)
    ends = [scale.text(end) if unit else f"{end:g}" for end in row["range"]]
    return f" over {row['over']}\n{' … '.join(dict.fromkeys(ends))} {scale.unit}".rstrip()


def _coefficient(name: str, value: float, low: float | None, high: float | None) -> str:
    return f"{name} {value:.4g}" + ("" if low is None or high is None else f"\n ({low:.4g} … {high:.4g})")
