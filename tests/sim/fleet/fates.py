"""The SimPy engine, losing exactly those frames that the compiled engine loses."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from hostemu.records import RunRecord
from hostemu.scenario import Scenario
from hostemu.sim import simulate
from hostemu.sim.fleet.losses import BARE, DOWN, MESSAGE, UP, Attempt, is_lost
from hostemu.sim.fleet.rules import rules_of
from hostemu.sim.network import Host, Network
from hostemu.sim.packets import Segment


class Fates:
    """Stands between the hosts and the network; `plan` is the scenario with its losses.

    lost: frames that were lost.
    """

    def __init__(self, plan: Scenario) -> None:
        self.lost = 0
        self._rules = rules_of(plan, plan.seed)
        self._attempts: dict[int, Attempt] = {}
        self._begun: Counter[int] = Counter()
        self._frames: Counter[tuple[int, int, int]] = Counter()

    def loses(self, source: Host, body: Any) -> bool:
        """Whether this frame is lost; the first one to a terminal with a new flow begins an attempt."""
        terminal = getattr(body, "terminal", None)
        if terminal is not None and body.flow not in self._attempts:
            self._attempts[body.flow] = Attempt(terminal, self._begun[terminal], 0)
            self._begun[terminal] += 1
        if body.flow not in self._attempts:
            return False
        direction = DOWN if source.line == "isp" else UP
        kind = MESSAGE if not isinstance(body, Segment) or body.data else BARE
        frame = self._frames[body.flow, direction, kind]
        self._frames[body.flow, direction, kind] += 1
        is_gone = bool(is_lost(self._rules, self._attempts[body.flow], direction, kind, frame))
        self.lost += is_gone
        return is_gone


def simulate_with_fates(plan: Scenario, free: Scenario) -> tuple[RunRecord, int]:
    """The record of SimPy's run of `plan`, and how many frames were lost in it; `free` is the same without losses."""
    fates, send = Fates(plan), Network.send

    def send_or_lose(self: Network, source: Host, target: Host, body: Any) -> None:
        if not fates.loses(source, body):
            send(self, source, target, body)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Network, "send", send_or_lose)
        return simulate(free), fates.lost
