"""Plays a scenario from outside the lab: makes the folder of the run, starts lab or simulator, returns the result."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hostemu import __version__
from hostemu.base.errors import HostError, InputError
from hostemu.guests import AUTO
from hostemu.guests import backend as find_backend
from hostemu.guests.uml_virtual import require_clock
from hostemu.lab import call_in_lab, lab_possible
from hostemu.measure.awake import cores_awake
from hostemu.measure.costs import FREE, Charge, Costs
from hostemu.measure.host import host_facts
from hostemu.records import read_record, summary, write_record
from hostemu.runner.backends import resolve_backend
from hostemu.runner.fabric import check_wiring
from hostemu.runner.forecast.kept import planned_for
from hostemu.runner.forecast.room import require_room
from hostemu.runner.layout import plan_layout
from hostemu.runner.virtual import require_virtual
from hostemu.scenario import Scenario
from hostemu.sim import EngineName, choose_engine, simulate, simulate_fleet

OnEvent = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Result:
    """A finished run: its record's file and what `hostemu run --json` prints."""

    record: Path
    summary: dict[str, Any]


def started_now() -> str:
    """The time that records say a run was started at."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _run_folder(output: Path, scenario: Scenario, kind: str, time_scale: float) -> Path:
    """A new folder under `output`, named after the run."""
    scale = "" if time_scale == 1 else f"-scale{time_scale:g}"
    return new_folder(output, f"{scenario.name}-{kind}-seed{scenario.seed}{scale}")


def new_folder(output: Path, name: str) -> Path:
    """A new folder under `output`, of this name and the time; InputError where none can be made."""
    stamp = re.sub(r"[^0-9T]", "", datetime.now(UTC).isoformat(timespec="seconds")[:19])
    try:
        output.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(prefix=f"{name}-{stamp}-", dir=output)).resolve()
    except OSError as error:
        raise InputError(
            f"cannot make a folder for the run in {output}: {error.strerror}",
            hint="name another folder with --output",
        ) from error


def require_lab() -> None:
    """HostError, with the reason and what to do, where no lab can be made."""
    possible, reason, fix = lab_possible()
    if not possible:
        raise HostError("this machine does not let a lab be made", found=reason, hint=fix)


def chosen_backend(backend: str, on_event: OnEvent) -> str:
    """The backend's name; a choice that the user did not make is told."""
    if backend == AUTO:
        require_lab()
    choice = resolve_backend(backend)
    if choice.why:
        on_event({"phase": "backend", "done": 1, "total": 1, "note": f"{choice.name}: {choice.why}"})
    return choice.name


def require_playable(scenario: Scenario, backend: str, kernel: Path | None, on_event: OnEvent) -> str:
    """The backend's name, once it is sure that the scenario can be played on it here; InputError, HostError."""
    plan_layout(scenario)
    backend = chosen_backend(backend, on_event)
    found = find_backend(backend)
    check_wiring(scenario, found)
    found.require(kernel)
    require_lab()
    return backend


def play_real(
    scenario: Scenario,
    backend: str,
    output: Path,
    time_scale: float,
    on_event: OnEvent,
    kernel: Path | None = None,
    *,
    settle_s: float = 0.0,
    anyway: bool = False,
) -> Result:
    """Play the scenario on guests of `backend`, `time_scale` times faster; the lab is gone when this returns.

    backend: a name, or "auto": see `hostemu.guests.choose`.
    kernel: that guests boot, if they have one; None: the best there is.
    settle_s: for how long the lab stands before the programs are started, to see what that costs; the record then has
        each guest's own CPU time of the run.
    anyway: also where it is known not to fit.
    InputError and HostError come before anything is made.  What `hostemu plan` said of this run goes into its record.
    """
    began_ns = time.monotonic_ns()
    backend = require_playable(scenario, backend, kernel, on_event)
    planned = planned_for(scenario, backend, time_scale, kernel)
    if not anyway:
        require_room(scenario, backend, planned)
    folder = _run_folder(output, scenario, backend, time_scale)
    (folder / "scenario.toml").write_text(scenario.to_toml())
    with cores_awake() as are_awake:
        order = {
            "folder": str(folder),
            "backend": backend,
            "kernel": None if kernel is None else str(kernel.resolve()),
            "time_scale": time_scale,
            "started_at": started_now(),
            "host": {**host_facts(), "cores_awake": are_awake},
            "began_ns": began_ns,
            "settle_s": settle_s,
            "planned": planned,
        }
        call_in_lab("hostemu.runner.real:play", order, on_event=on_event)
    record = folder / "record.h5"
    return Result(record, summary(read_record(record)))


def require_clockwork(kernel: Path | None, charge: Charge) -> None:
    """HostError where no guests can be played in virtual time, or their computation cannot be charged."""
    find_backend("uml").require(kernel)
    require_clock(kernel, is_charged=not charge.is_free)
    require_lab()


def play_virtual(
    scenario: Scenario,
    output: Path,
    time_scale: float,
    on_event: OnEvent,
    kernel: Path | None = None,
    charge: Charge = FREE,
    *,
    anyway: bool = False,
) -> Result:
    """Play the scenario on guests with kernels of their own, in virtual time.

    charge: what computation takes guests' CPUs.  anyway: as of play_real.
    InputError and HostError come before anything is made.
    """
    began_ns = time.monotonic_ns()
    require_virtual(scenario.scaled(time_scale))
    require_clockwork(kernel, charge)
    if not anyway:
        require_room(scenario, "uml", {})
    folder = _run_folder(output, scenario, "virtual", time_scale)
    (folder / "scenario.toml").write_text(scenario.to_toml())
    order = {
        "folder": str(folder),
        "backend": "-as-".join(filter(None, ("uml-virtual", charge.of))),
        "kernel": None if kernel is None else str(kernel.resolve()),
        "time_scale": time_scale,
        "started_at": started_now(),
        "host": host_facts(),
        "began_ns": began_ns,
        "mode": "virtual",
        "charge": asdict(charge),
    }
    with cores_awake():
        call_in_lab("hostemu.runner.virtual:play", order, on_event=on_event)
    record = folder / "record.h5"
    return Result(record, summary(read_record(record)))


def play_simulated(
    scenario: Scenario,
    output: Path,
    time_scale: float,
    costs: Costs,
    trace: Path | None,
    on_event: OnEvent,
    engine: EngineName = EngineName.AUTO,
) -> Result:
    """Play the scenario simulated, with these costs of CPU time.

    InputError, before anything is made, when `engine` cannot play it.
    """
    scaled = scenario.scaled(time_scale)
    choice = choose_engine(engine, scaled, costs, traced=trace is not None)
    on_event({"phase": "engine", "done": 1, "total": 1, "note": f"{choice.name.value}: {choice.why}"})
    total = scenario.fleet.terminals

    def on_progress(_now_ns: int, retrieved: int, failed: int) -> None:
        on_event({"phase": "run", "done": retrieved + failed, "total": total})

    folder = _run_folder(output, scenario, "simulated", time_scale)
    started_at = started_now()
    if choice.name is EngineName.FLEET:
        record = simulate_fleet(scaled, on_progress=on_progress)
    else:
        with ExitStack() as stack:
            trace_file = None if trace is None else stack.enter_context(trace.open("w"))
            record = simulate(scaled, costs=costs, trace=trace_file, on_progress=on_progress)
    record.scenario_text = scenario.to_toml()
    record.time_scale = time_scale
    record.started_at = started_at
    record.host = host_facts()
    record.version = __version__
    path = folder / "record.h5"
    write_record(record, path)
    return Result(path, summary(record))
