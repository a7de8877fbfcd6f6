"""Entry point of `hostemu`: the verbs, and how errors become messages and exit codes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from hostemu import __version__
from hostemu.base.errors import HostemuError
from hostemu.cli import calibrate, compare, demo, doctor, kernel, run, simulate, size, tables, validate

INTERRUPTED = 130  # 128 + SIGINT, as shells say it

app = typer.Typer(
    help="Emulate many real hosts on one machine, measure them, and simulate the same scenario at any scale.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(demo.demo)
app.command()(doctor.doctor)
app.command()(run.run)
app.command()(simulate.simulate)
app.command()(size.size)
app.command()(validate.validate)
app.command()(compare.compare)
app.command()(calibrate.calibrate)
app.add_typer(kernel.app)
app.command()(tables.tables)


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
