"""The terminal guests of a run that are simulated, while others are real."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from hostemu.gine import Simulated
from hostemu.retrieval.simulated import SimulatedFarm
from hostemu.runner.configs import farm_config, farm_name
from hostemu.runner.layout import SEGMENT_MAC, Layout
from hostemu.scenario import Scenario


class SimulatedGuests:
    """Those of a layout; none without one.  A context manager, which frees them.

    hosts: what the emulator is to know of each, by the host's name.
    """

    def __init__(self, layout: Layout | None = None, scenario: Scenario | None = None) -> None:
        self.hosts: dict[str, Simulated] = {}
        self._farms: dict[str, SimulatedFarm] = {}
        self._resources = ExitStack()
        if layout is not None and scenario is not None:
            with ExitStack() as stack:
                self._open(layout, scenario, stack)
                self._resources = stack.pop_all()

    def _open(self, layout: Layout, scenario: Scenario, stack: ExitStack) -> None:
        for plan in layout.simulated_farms:
            gateway_mac = SEGMENT_MAC if scenario.hosts.wiring == "segment" else plan.host.router_mac
            own = SimulatedFarm(farm_config(scenario, layout, plan), plan.host.mac, gateway_mac)
            self._farms[farm_name(plan)] = stack.enter_context(own)
            self.hosts[plan.host.name] = own.host

    def __enter__(self) -> SimulatedGuests:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    def start(self, at_ns: int) -> None:
        """Time 0 of the run, of the emulator's clock."""
        for farm in self._farms.values():
            farm.start(at_ns)

    def results(self, now_ns: int) -> Mapping[str, Mapping[str, Any]]:
        """The last word of each farm, as of a program of that name."""
        return {name: farm.result(now_ns) for name, farm in self._farms.items()}
