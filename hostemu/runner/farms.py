"""How terminals are run in a guest for a campaign, by backend."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.units import NS_PER_S
from hostemu.guests import BACKENDS
from hostemu.guests.api import Guest
from hostemu.guests.fake import FakeBackend
from hostemu.measure.bench import Farm, FarmPlan
from hostemu.protocol.power import Phase, PowerSettings
from hostemu.retrieval.config import Authentication, FarmConfig, Transport, WhenOff
from hostemu.retrieval.native import farm_program
from hostemu.runner.programs import FARM_PATH, ProgramGroup
from hostemu.scenario.derive import FIRST_DEVICE_ID, SECRET_BYTES

MODULE = "hostemu.retrieval.terminals"
ALWAYS_ON = PowerSettings(3600 * NS_PER_S, 1, 1, False, Phase.ON)
CYCLE = PowerSettings(5 * NS_PER_S, 30 * NS_PER_S, 60 * NS_PER_S, False, Phase.RANDOM)
"""The thesis': on for 5 s, off for 30 to 60 s."""

INFORMATION_BYTES = 200
LEAD_S = 0.5


def farm_config(plan: FarmPlan) -> FarmConfig:
    """Terminals that nobody asks for their information."""
    return FarmConfig(
        seed=1,
        first_index=0,
        count=plan.count,
        first_device_id=FIRST_DEVICE_ID,
        first_address=plan.first_address,
        port=plan.port,
        transport=Transport.TCP,
        authentication=Authentication.XOR,
        shared_secret=bytes(SECRET_BYTES),
        own_secret=bytes(SECRET_BYTES),
        information_bytes=INFORMATION_BYTES,
        power=CYCLE if plan.is_cycling else ALWAYS_ON,
        when_off=WhenOff.REFUSE,
    )


@contextmanager
def run_farm(guest: Guest, plan: FarmPlan, folder: Path, deadline: Deadline) -> Iterator[Callable[[], None]]:
    """The farm program in a guest: in Python where it sees the host's files, else in C."""
    with ProgramGroup(folder / "programs") as group:
        program = group.start("farm", guest, MODULE, farm_config(plan).to_json())
        group.wait_for("ready", [program], deadline)
        start_ns = time.monotonic_ns() + round(LEAD_S * 1e9)
        group.send_start(start_ns, {guest.spec.name: guest.clock_offset_ns()})

        def check() -> None:
            for _ in group.poll(0.0):  # raises when the program has ended
                pass

        yield check


def native_files() -> Mapping[str, Path]:
    """What a guest with a file system of its own needs."""
    return {FARM_PATH: farm_program()}


def farms() -> dict[str, Farm]:
    """How terminals are run, by backend."""
    offered = {name: backend for name, backend in BACKENDS.items() if name != FakeBackend.name}
    return {
        name: Farm(run_farm, native_files) if backend.has_own_kernel else Farm(run_farm)
        for name, backend in offered.items()
    }


FARMS: Mapping[str, Farm] = farms()
