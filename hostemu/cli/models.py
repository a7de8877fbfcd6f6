"""`hostemu models`: what a model file says, where it holds, and what it predicts."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

from hostemu.base.errors import InputError
from hostemu.base.units import parse_size_bytes
from hostemu.cli.output import JsonOption, results_console, write_json
from hostemu.fitting import find_models, load_models
from hostemu.report.models import as_table, described


def models(
    file: Annotated[str, typer.Argument(help="A model file, such as models.toml, or thesis-2008-models.")],
    at: Annotated[
        list[str] | None,
        typer.Option(metavar="VARIABLE=VALUE", help="Predict there: clients=64, configured_bytes=48MiB; repeatable."),
    ] = None,
    backend: Annotated[str | None, typer.Option(help="Only models of such guests.")] = None,
    json: JsonOption = None,
) -> None:
    """Show the models in a file: form, coefficients, range and error; and what they predict at some point."""
    found = load_models(find_models(file))
    rows = described(found, dict(map(_point, at or ())), backend)
    write_json(json, {"source": found.source, "models": rows, "missing": dict(found.missing)})
    console = results_console(json)
    console.print(as_table(found.source, rows))
    for name, reason in found.missing.items():
        Console(stderr=True).print(f"no model {name}: {reason}", highlight=False, markup=False, soft_wrap=True)


def _point(text: str) -> tuple[str, float]:
    """A variable and its value; those in bytes take a unit."""
    name, equals, value = (part.strip() for part in text.partition("="))
    try:
        if not equals:
            raise ValueError
        return name, float(parse_size_bytes(value)) if name.endswith("_bytes") else float(value)
    except ValueError:
        raise InputError("--at names no point", expected="VARIABLE=VALUE, such as clients=64", found=text) from None
