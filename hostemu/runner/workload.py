"""Plays a workload from outside the lab: on guests in real or in virtual time, or in SimPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hostemu import __version__
from hostemu.base.errors import HostError
from hostemu.base.packages import missing
from hostemu.guests import backend as find_backend
from hostemu.lab import call_in_lab
from hostemu.measure.awake import cores_awake
from hostemu.measure.costs import FREE, Charge
from hostemu.measure.host import host_facts
from hostemu.records.workload import NAME, WorkloadRecord, read_workload, write_workload
from hostemu.runner.forecast.room import limits_of_workload, require_within
from hostemu.runner.play import chosen_backend, new_folder, require_clockwork, require_lab, started_now
from hostemu.runner.tools import install_hint
from hostemu.runner.workload_lab import network_without_descriptors
from hostemu.scenario.workload import Workload
from hostemu.sim.virtual.calendar import lookahead_ns
from hostemu.sim.workload import WorkloadWorld

OnEvent = Callable[[dict[str, Any]], None]


def _require_programs(workload: Workload) -> None:
    """HostError when this machine lacks a command that the workload's programs need."""
    lacking = missing(sorted({need for group in workload.groups.values() for need in group.needs}))
    if lacking:
        raise HostError(
            f"workload {workload.name} needs programs that are not here",
            expected=", ".join(lacking),
            found="none of them" if len(lacking) > 1 else "not found",
            hint=install_hint(lacking),
        )


def play_workload(
    workload: Workload,
    files: Path,
    backend: str,
    output: Path,
    on_event: OnEvent,
    kernel: Path | None = None,
    *,
    anyway: bool = False,
) -> tuple[Path, WorkloadRecord]:
    """Play it on guests of `backend`; the record's file, and what it holds.

    files: the workload's own folder.  anyway: also where a limit of this machine is known not to suffice.
    InputError and HostError come before anything is made.
    """
    _require_programs(workload)
    backend = chosen_backend(backend, on_event)
    find_backend(backend).require(kernel)
    require_lab()
    if not anyway:
        require_within(limits_of_workload(workload, backend))
    return _in_lab(workload, files, backend, output, on_event, kernel, "real")


def play_workload_virtual(
    workload: Workload,
    files: Path,
    output: Path,
    on_event: OnEvent,
    kernel: Path | None = None,
    charge: Charge = FREE,
    *,
    anyway: bool = False,
) -> tuple[Path, WorkloadRecord]:
    """Play it on guests with kernels of their own, in virtual time; as play_workload.  charge: as of play_virtual."""
    _require_programs(workload)
    lookahead_ns(network_without_descriptors(workload))
    require_clockwork(kernel, charge)
    if not anyway:
        require_within(limits_of_workload(workload, "uml"))
    return _in_lab(workload, files, "uml", output, on_event, kernel, "virtual", charge)


def _in_lab(
    workload: Workload,
    files: Path,
    backend: str,
    output: Path,
    on_event: OnEvent,
    kernel: Path | None,
    mode: str,
    charge: Charge = FREE,
) -> tuple[Path, WorkloadRecord]:
    kind = backend if mode == "real" else mode
    folder = new_folder(output, f"{workload.name}-{kind}-seed{workload.seed}")
    (folder / "workload.toml").write_text(workload.to_toml())
    with cores_awake() as are_awake:
        order = {
            "folder": str(folder),
            "files": str(files),
            "backend": backend,
            "kernel": None if kernel is None else str(kernel.resolve()),
            "mode": mode,
            "started_at": started_now(),
            "host": {**host_facts(), "cores_awake": are_awake},
            "charge": asdict(charge),
        }
        call_in_lab("hostemu.runner.workload_lab:play", order, on_event=on_event)
    return folder / NAME, read_workload(folder / NAME)


def simulate_workload(workload: Workload, output: Path) -> tuple[Path, WorkloadRecord]:
    """Play it in SimPy; InputError when it does not say what its programs do."""
    world = WorkloadWorld(workload)
    folder = new_folder(output, f"{workload.name}-simulated-seed{workload.seed}")
    record = WorkloadRecord(
        name=workload.name,
        mode="simulated",
        backend="",
        seed=workload.seed,
        unit="s",
        workload=workload.to_toml(),
        version=__version__,
        started_at=started_now(),
        host=host_facts(),
    )
    (folder / "workload.toml").write_text(record.workload)
    world.play()
    record.programs = world.records
    record.lines = world.lines()
    record.conclude(row.host for row in world.records if workload.groups[row.group].ends)
    write_workload(record, folder / NAME)
    return folder / NAME, record
