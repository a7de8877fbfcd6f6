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
[missing]                          # may be left out
terminals-uml-cycle = "…"          # a name, and why there is no such model
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from hostemu.base.cache import whole_file
from hostemu.base.errors import HostError, InputError
from hostemu.fitting.fit import Estimate, Fit, Prediction, fit
from hostemu.fitting.forms import FORMS
from hostemu.scenario.problems import Source, validated
from hostemu.scenario.quantities import Settings
from hostemu.scenario.shelf import Shelf
from hostemu.scenario.toml import key_lines, to_toml

SCHEMA = 1
KIND = "models"

ANY = "any"
"""Over what a quantity is a constant that depends on nothing."""

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
    missing: dict[str, str] = Field(default_factory=dict)


SHELF = Shelf("model", "models", _File, "", InputError, pattern="*-models.toml")


@dataclass(frozen=True)
class Model:
    """quantity, over: names with their units, of y and of x.  backend: whose hosts it is about."""

    quantity: str
    over: str
    backend: str
    fit: Fit

    def at(self, x: float) -> Prediction:
        """What the quantity is at x; of one that depends on nothing, whatever x is."""
        return self.fit.at(self.fit.least if self.over == ANY else x)


Named = tuple[str, Model | str]
"""A name, and the model or why there is none."""


def constant(quantity: str, backend: str, values: Sequence[float]) -> Model:
    """A quantity that depends on nothing; InputError for values that are not positive."""
    return Model(quantity, ANY, backend, fit("constant", [1.0] * len(values), values))


@dataclass(frozen=True)
class Models:
    """source: what they were fitted to.  host: facts of the machine they are of; empty where none is known.

    missing: names of models that could not be made, and why.
    """

    source: str
    models: Mapping[str, Model]
    host: Mapping[str, Fact] = field(default_factory=dict)
    measured_at: str = ""
    missing: Mapping[str, str] = field(default_factory=dict)

    @staticmethod
    def made(found: Iterable[Named], source: str, host: Mapping[str, Fact], measured_at: str = "") -> Models:
        """What could be made, and why the rest could not."""
        made = dict(found)
        return Models(
            source,
            {name: model for name, model in made.items() if isinstance(model, Model)},
            host,
            measured_at,
            {name: reason for name, reason in made.items() if isinstance(reason, str)},
        )

    def get(self, quantity: str, backend: str, over: str | None = None) -> Model | None:
        """The model of a quantity of a backend (over something); None where there is none.

        InputError where there are several: a quantity may have models over different things, and `over` says which.
        """
        found = {
            name: model
            for name, model in self.models.items()
            if (model.quantity, model.backend) == (quantity, backend) and over in (None, model.over)
        }
        if len(found) > 1:
            raise InputError(
                f"models of {self.source}: which model of {quantity} of {backend} guests is meant is not clear",
                expected="one",
                found=", ".join(f"{name} over {model.over}" for name, model in found.items()),
            )
        return next(iter(found.values()), None)


def find_models(name_or_path: str) -> Path:
    """A shipped model file by name, or a file by its path; InputError when there is none."""
    return SHELF.find(name_or_path)


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
    return Models(file.source, models, file.host, file.measured_at, file.missing)


def save_models(models: Models, path: Path) -> None:
    """Write a model file, whole or not at all; HostError when that is impossible."""
    document = {
        "schema": SCHEMA,
        "kind": KIND,
        "source": models.source,
        "measured_at": models.measured_at,
        "host": dict(models.host),
        "model": {name: _entry(model) for name, model in models.models.items()},
        "missing": dict(models.missing),
    }
    try:
        with whole_file(path) as draft:
            draft.write_text(to_toml(document), encoding="utf-8")
            draft.chmod(0o644)
    except OSError as error:
        raise HostError(f"cannot write model file {path}: {error.strerror}") from error


def require_host(models: Models, facts: Mapping[str, Any], path: Path) -> None:
    """InputError when models are those of another machine than that of these facts."""
    different = different_facts(models.host, facts)
    if different:
        raise InputError(
            f"the models in {path} are those of another machine",
            expected=", ".join(f"{name} {facts.get(name)}" for name in different),
            found=", ".join(f"{name} {models.host[name]}" for name in different),
            hint="give --model a file of this one, which `hostemu calibrate` makes",
        )


def different_facts(host: Mapping[str, Fact], facts: Mapping[str, Any]) -> list[str]:
    """The facts in which two machines differ that make times of one useless for the other; none where unknown."""
    return [name for name in ("cpu_model", "cores") if host.get(name, facts.get(name)) != facts.get(name)]


def _model(where: str, entry: _Entry) -> Model:
    form = FORMS.get(entry.form)
    names = [] if form is None else [item.name for item in form.coefficients]
    if form is None or list(entry.coefficients) != names or np.shape(entry.covariance) != (len(names), len(names)):
        raise InputError(
            f"{where} does not fit its form",
            expected=f"one of {', '.join(FORMS)}, with its coefficients and their covariance",
            found=f"{entry.form} with {', '.join(entry.coefficients) or 'none'}",
        )
    coefficients = {name: Estimate(c.low, c.high, c.value) for name, c in entry.coefficients.items()}
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
