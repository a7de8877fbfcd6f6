"""`hostemu kernel`: build lean kernels for guests, and list the kernels that there are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from hostemu.base.errors import HostError
from hostemu.base.packages import install as install_packages
from hostemu.cli.output import JsonOption, progress_bar, results_console, write_json
from hostemu.guests.kernel_build import build_kernel, missing_packages
from hostemu.guests.kernel_image import KINDS, Kind
from hostemu.guests.kernels import Kernel, distribution_kernels, find_kernel, lean_kernels

app = typer.Typer(
    name="kernel",
    help="Kernels of User-mode Linux and QEMU guests.",
    no_args_is_help=True,
    add_completion=False,
)


class KindName(StrEnum):
    """What a kernel is for: a User-mode Linux guest, or an x86-64 guest of QEMU."""

    UML = "uml"
    X86 = "x86"


@app.command()
def build(
    kind: Annotated[KindName, typer.Argument(help="uml: User-mode Linux guests; x86: QEMU guests.")],
    install: Annotated[bool, typer.Option("--install", help="Install packages that are missing.")] = False,
    source: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A kernel source, packed or a folder; else the distribution's package."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=1024, help="Compilers at the same time; else one per processor.")
    ] = None,
    json: JsonOption = None,
) -> None:
    """Build a lean kernel from the distribution's kernel source; minutes the first time, then kept."""
    name: Kind = "uml" if kind is KindName.UML else "x86"
    console = results_console(json)
    if install and (packages := missing_packages(name, source)):
        console.print(f"installing {' '.join(packages)}", highlight=False)
        install_packages(packages)
    with progress_bar(f"a lean {name} kernel", eta=True) as progress:
        task = progress.add_task("building", total=None, note="")

        def on_progress(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)

        kernel = build_kernel(name, on_progress, jobs, source)
    write_json(json, kernel.as_json())
    console.print(_line(kernel), highlight=False, soft_wrap=True)


def _line(kernel: Kernel) -> str:
    size_mb = kernel.path.stat().st_size / 1e6
    return f"{kernel.flavour} {kernel.kind} kernel {kernel.version}, {size_mb:.1f} MB: {kernel.path}"


@app.command("list")
def list_kernels(json: JsonOption = None) -> None:
    """List the kernels that guests can boot here, and which of them they boot when none is named."""
    rows = [row for kind in KINDS for row in _rows(kind)]
    write_json(json, rows)
    table = Table(caption=None if rows else "none: hostemu kernel build uml, hostemu kernel build x86")
    for heading in ("kind", "flavour", "version", "least MiB", "by default", "file"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        least_mib = str(row["least_memory_bytes"] >> 20)
        table.add_row(row["kind"], row["flavour"], row["version"], least_mib, row["use"], row["path"])
    results_console(json).print(table)


def _rows(kind: Kind) -> Iterator[dict[str, Any]]:
    """One row per kernel, as JSON; use: whether guests boot it by default, or why they never do."""
    chosen = None
    with suppress(HostError):
        chosen = find_kernel(kind).path
    for lean in lean_kernels(kind):
        use = "" if lean.current else "no: made by another version's configuration"
        yield _row(lean.kernel, "yes" if lean.kernel.path == chosen else use) | {
            "source": lean.record.source,
            "source_sha256": lean.record.source_sha256,
            "compiler": lean.record.compiler,
            "seconds": lean.record.seconds,
        }
    for kernel in distribution_kernels(kind):
        yield _row(kernel, "yes" if kernel.path == chosen else "")


def _row(kernel: Kernel, use: str) -> dict[str, Any]:
    return {**kernel.as_json(), "least_memory_bytes": kernel.least_memory_bytes, "use": use}
