"""Entry point of `hostemu`: the verbs, and how errors become messages and exit codes."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from hostemu import __version__
from hostemu.base.errors import HostemuError

INTERRUPTED = 130  # 128 + SIGINT, as shells say it

VERBS = (
    *("demo", "doctor", "plan", "run", "simulate", "size", "validate", "compare"),
    *("calibrate", "models", "kernel", "tables"),
)
"""Each is a module of this package, with a function of its name, or with an `app` of several commands."""


class _Commands(Mapping[str, Any]):
    """The verbs, each imported when it is asked for: what one of them needs, the others do not wait for."""

    def __getitem__(self, name: str) -> Any:
        if name not in VERBS:
            raise KeyError(name)
        module = import_module(f"hostemu.cli.{name}")
        app = getattr(module, "app", None)
        if app is None:
            app = typer.Typer(add_completion=False)
            app.command(name)(getattr(module, name))
        return typer.main.get_command(app)

    def __iter__(self) -> Iterator[str]:
        return iter(VERBS)

    def __len__(self) -> int:
        return len(VERBS)


class _Verbs(TyperGroup):
    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast(Any, _Commands())


app = typer.Typer(
    cls=_Verbs,
    help="Emulate many real hosts on one machine, measure them, and simulate the same scenario at any scale.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"hostemu {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options before the verb."""


def main() -> None:
    """Run the command line; exit codes: 0 done, 1 failed run, 2 bad input, 3 host cannot do it."""
    try:
        app()
    except HostemuError as error:
        Console(stderr=True).print(f"[bold red]hostemu:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        Console(stderr=True).print("hostemu: interrupted; nothing is left running")
        sys.exit(INTERRUPTED)
