"""How terminals are run in a guest for a campaign, by backend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.units import NS_PER_S
from hostemu.guests.api import Guest
from hostemu.guests.netns import NetnsBackend
from hostemu.measure.bench import FarmPlan, FarmStarter
from hostemu.protocol.power import Phase, PowerSettings
from hostemu.retrieval.config import Authentication, FarmConfig, Transport, WhenOff
from hostemu.runner.programs import ProgramGroup
from hostemu.scenario.derive import FIRST_DEVICE_ID, SECRET_BYTES

MODULE = "hostemu.retrieval.terminals"
ALWAYS_ON = PowerSettings(3600 * NS_PER_S, 1, 1, False, Phase.ON)
INFORMATION_BYTES = 200


def farm_config(plan: FarmPlan) -> FarmConfig:
    """Terminals that are always on; nobody asks them for their information."""
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
        power=ALWAYS_ON,
        when_off=WhenOff.REFUSE,
    )


@contextmanager
def python_farm(guest: Guest, plan: FarmPlan, folder: Path, deadline: Deadline) -> Iterator[None]:
    """The farm program in Python, in a guest that shares the host's files."""
    with ProgramGroup(folder / "programs") as group:
        program = group.start("farm", guest, MODULE, farm_config(plan).to_json())
        group.wait_for("ready", [program], deadline)
        yield


FARMS: Mapping[str, FarmStarter] = {NetnsBackend.name: python_farm}
"""Backends whose guests can run terminals."""
