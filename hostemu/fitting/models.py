"""Model files: fits with where they come from.

schema = 1
kind = "models"
source = "campaign thesis"
measured_at = "2026-11-24T19:22:57+00:00"
[host]                             # facts of the machine
[model.memory-uml]                 # a name
quantity = "memory_bytes"          # what is predicted, with its unit
over = "configured_bytes"          # of what
backend = "uml"
form = "linear"
least = 16777216.0                 # the range that was fitted; outside of it, a use is extrapolated
most = 134217728.0
n = 20
residuals = [0.001, …]             # (y − model) / y of every point
covariance = [[…], …]              # of the coefficients, in the form's order
[model.memory-uml.coefficients.floor]
value = 4000000.0
low = 3900000.0                    # 95 %
high = 4100000.0
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from hostemu.base.cache import whole_file
from hostemu.base.errors import HostError, InputError
from hostemu.fitting.fit import Fit, Interval, Prediction
from hostemu.fitting.forms import FORMS
from hostemu.scenario.problems import Source, validated
from hostemu.scenario.quantities import Settings
from hostemu.scenario.toml import key_lines, to_toml

SCHEMA = 1
KIND = "models"

Fact = str | int | float | bool
Number = Annotated[float, Field(strict=False, allow_inf_nan=True)]


class _Coefficient(Settings):
    value: Number
    low: Number
    high: Number


class _Entry(Settings):
    quantity: str
    over: str
    backend: str
    form: str
    least: Number
    most: Number
    n: Annotated[int, Field(ge=1)]
    residuals: Annotated[tuple[Number, ...], Field(strict=False)]
    covariance: Annotated[tuple[Annotated[tuple[Number, ...], Field(strict=False)], ...], Field(strict=False)]
    coefficients: dict[str, _Coefficient]


class _File(Settings):
    schema_version: Literal[1] = Field(alias="schema")
    kind: Literal["models"]
    source: str
    measured_at: str = ""
    host: dict[str, Fact] = Field(default_factory=dict)
    model: dict[str, _Entry] = Field(default_factory=dict)


@dataclass(frozen=True)
class Model:
    """quantity, over: names with their units, of y and of x.  backend: whose hosts it is about."""

    quantity: str
    over: str
    backend: str
    fit: Fit

    def at(self, x: float) -> Prediction:
        """What the quantity is at x."""
        return self.fit.at(x)


@dataclass(frozen=True)
class Models:
    """source: what they were fitted to.  host: facts of the machine they are of; empty where none is known."""

    source: str
    models: Mapping[str, Model]
    host: Mapping[str, Fact] = field(default_factory=dict)
    measured_at: str = ""

    def get(self, quantity: str, backend: str) -> Model | None:
        """The model of a quantity of a backend."""
        for model in self.models.values():
            if (model.quantity, model.backend) == (quantity, backend):
                return model
        return None


def load_models(path: Path) -> Models:
    """The models in a file; InputError that names file, line and key when it holds none of this schema."""
    try:
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
    except OSError as error:
        raise InputError(
            f"cannot read model file {path}: {error.strerror}", hint="`hostemu calibrate` writes one"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"model file {path} is not TOML", found=str(error)) from None
    if document.get("kind") != KIND or document.get("schema") != SCHEMA:
        raise InputError(
            f"{path} is no model file of a version that is understood",
            expected=f'schema = {SCHEMA}, kind = "{KIND}"',
            found=f"schema = {document.get('schema')!r}, kind = {document.get('kind')!r}",
        )
    file = validated(_File, document, Source(str(path), key_lines(text)), InputError)
    models = {name: _model(f"{path}, model {name}", entry) for name, entry in file.model.items()}
    return Models(file.source, models, file.host, file.measured_at)


def save_models(models: Models, path: Path) -> None:
    """Write a model file, whole or not at all; HostError when that is impossible."""
    document = {
        "schema": SCHEMA,
        "kind": KIND,
        "source": models.source,
        "measured_at": models.measured_at,
        "host": dict(models.host),
        "model": {name: _entry(model) for name, model in models.models.items()},
    }
    try:
        with whole_file(path) as draft:
            draft.write_text(to_toml(document), encoding="utf-8")
            draft.chmod(0o644)
    except OSError as error:
        raise HostError(f"cannot write model file {path}: {error.strerror}") from error


def require_host(models: Models, facts: Mapping[str, Any], path: Path) -> None:
    """InputError when models are those of another machine than that of these facts."""
    different = [name for name in ("cpu_model", "cores") if models.host.get(name, facts.get(name)) != facts.get(name)]
    if different:
        raise InputError(
            f"the models in {path} are those of another machine",
            expected=", ".join(f"{name} {facts.get(name)}" for name in different),
            found=", ".join(f"{name} {models.host[name]}" for name in different),
            hint="make models of this one with `hostemu calibrate`",
        )


def _model(where: str, entry: _Entry) -> Model:
    form = FORMS.get(entry.form)
    names = [] if form is None else [item.name for item in form.coefficients]
    if form is None or list(entry.coefficients) != names or np.shape(entry.covariance) != (len(names), len(names)):
        raise InputError(
            f"{where} does not fit its form",
            expected=f"one of {', '.join(FORMS)}, with its coefficients and their covariance",
            found=f"{entry.form} with {', '.join(entry.coefficients) or 'none'}",
        )
    coefficients = {name: Interval(c.value, c.low, c.high) for name, c in entry.coefficients.items()}
    covariance = np.array(entry.covariance, float)
    fit = Fit(form, coefficients, covariance, entry.least, entry.most, entry.n, entry.residuals)
    return Model(entry.quantity, entry.over, entry.backend, fit)


def _entry(model: Model) -> dict[str, Any]:
    fit = model.fit
    return {
        "quantity": model.quantity,
        "over": model.over,
        "backend": model.backend,
        "form": fit.form.name,
        "least": fit.least,
        "most": fit.most,
        "n": fit.n,
        "residuals": list(fit.residuals),
        "covariance": fit.covariance.tolist(),
        "coefficients": {
            name: {"value": found.value, "low": found.low, "high": found.high}
            for name, found in fit.coefficients.items()
        },
    }
