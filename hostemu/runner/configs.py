"""What each program of a run is told: its configuration, made from the scenario and the layout."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hostemu.retrieval.config import (
    Authentication,
    CenterConfig,
    Config,
    FarmConfig,
    Home,
    IspAssignment,
    IspConfig,
    TerminalRange,
    Transport,
    WhenOff,
)
from hostemu.runner.layout import FarmPlan, Layout
from hostemu.scenario import Scenario
from hostemu.scenario.derive import (
    CALL_PORT,
    FIRST_DEVICE_ID,
    ISP_PORT,
    TERMINAL_PORT,
    list_of,
    power_settings,
    retry_policy,
    secret,
)

RUN_ID = "run"
DATABASE = "center.sqlite"


@dataclass(frozen=True)
class ProgramPlan:
    """One program: on which host it runs, its Python module and configuration."""

    name: str
    host: str
    module: str
    config: Config


def database_url(folder: Path) -> str:
    """The center's store of a run."""
    return f"sqlite:///{folder / DATABASE}"


def program_plans(
    scenario: Scenario, layout: Layout, folder: Path, *, is_center_remote: bool = False
) -> Iterator[ProgramPlan]:
    """Every program of a run: farms and ISP servers first, since the center needs them.

    is_center_remote: the center runs under another kernel than the one whose file its store is.
    """
    for farm in layout.real_farms:
        config = farm_config(scenario, layout, farm)
        yield ProgramPlan(farm_name(farm), farm.host.name, "hostemu.retrieval.terminals", config)
    for number in range(scenario.isp_programs):
        isp = _isp(scenario, layout, number)
        yield ProgramPlan(f"isp-{number}", layout.isp.name, "hostemu.retrieval.isp_server", isp)
    center = _center(scenario, layout, folder, is_center_remote)
    yield ProgramPlan("center", layout.center.name, "hostemu.retrieval.center", center)


def _home(scenario: Scenario, layout: Layout) -> Home:
    retrieval = scenario.retrieval
    return Home(
        address=str(layout.isp.address),
        port=CALL_PORT,
        list_size=retrieval.list_size,
        connect_timeout_ns=retrieval.connect_timeout_ns,
        answer_timeout_ns=retrieval.answer_timeout_ns,
        interval_ns=retrieval.retry.interval_ns,
        max_attempts=retrieval.retry.max_attempts,
    )


def farm_name(farm: FarmPlan) -> str:
    """What the program of this farm is called."""
    return farm.host.name.replace("guest", "farm")


def farm_config(scenario: Scenario, layout: Layout, farm: FarmPlan) -> FarmConfig:
    """What the program of a farm is told."""
    return FarmConfig(
        seed=scenario.seed,
        first_index=farm.first_index,
        count=farm.count,
        first_device_id=FIRST_DEVICE_ID + farm.first_index,
        first_address=str(farm.address(0)),
        port=TERMINAL_PORT,
        transport=Transport(scenario.retrieval.transport),
        authentication=Authentication(scenario.retrieval.authentication),
        shared_secret=secret(scenario.seed, "shared"),
        own_secret=secret(scenario.seed, "own"),
        information_bytes=scenario.retrieval.info_bytes,
        power=power_settings(scenario),
        when_off=WhenOff(scenario.power.when_off),
        home=_home(scenario, layout) if scenario.retrieval.terminals_call else None,
    )


def _isp(scenario: Scenario, layout: Layout, number: int) -> IspConfig:
    retrieval = scenario.retrieval
    return IspConfig(
        address=str(layout.isp.address),
        port=ISP_PORT + number,
        transport=Transport(retrieval.transport),
        authentication=Authentication(retrieval.authentication),
        shared_secret=secret(scenario.seed, "shared"),
        list_size=retrieval.list_size,
        concurrency=retrieval.concurrency,
        retry=retry_policy(scenario),
        connect_timeout_ns=retrieval.connect_timeout_ns,
        answer_timeout_ns=retrieval.answer_timeout_ns,
        call_port=CALL_PORT + number if scenario.retrieval.terminals_call else None,
    )


def _center(scenario: Scenario, layout: Layout, folder: Path, is_remote: bool) -> CenterConfig:
    return CenterConfig(
        own_secret=secret(scenario.seed, "own"),
        authentication=Authentication(scenario.retrieval.authentication),
        run_id=RUN_ID,
        deadline_ns=scenario.retrieval.deadline_ns,
        isps=tuple(_assignment(scenario, layout, number) for number in range(scenario.isp_programs)),
        database=database_url(folder),
        is_store_remote=is_remote,
    )


def _assignment(scenario: Scenario, layout: Layout, number: int) -> IspAssignment:
    indexes = list_of(scenario, number)
    ranges = layout.ranges(indexes.start, len(indexes))
    terminals = tuple(TerminalRange(r.first_device_id, str(r.first_address), TERMINAL_PORT, r.count) for r in ranges)
    return IspAssignment(str(layout.isp.address), ISP_PORT + number, terminals)
