"""What keeps a scenario from being played by the compiled engine."""

from __future__ import annotations

from collections.abc import Iterator

from hostemu.measure.costs import Costs
from hostemu.scenario import Scenario
from hostemu.sim.tcp import INITIAL_RTO_NS, INITIAL_WINDOW_BYTES

SEALED_BYTES = 1024
"""Room in a message for headers, nonces, proofs and seal."""


def obstacles(scenario: Scenario, costs: Costs) -> list[str]:
    """Why the compiled engine cannot play this scenario as the twin does; empty when it can."""
    return [*_of_lines(scenario), *_of_times(scenario), *_of_exchanges(scenario, costs)]


def _of_lines(scenario: Scenario) -> Iterator[str]:
    for name in ("center", "isp", "terminals"):
        line = getattr(scenario.lines, name)
        if any(direction.rate_bps is not None for direction in (line.up, line.down)):
            yield f"lines.{name} has a rate: frames wait for each other"
        if line.up.loss or line.down.loss:
            yield f"lines.{name} has loss"


def _of_times(scenario: Scenario) -> Iterator[str]:
    lines, retrieval, power = scenario.lines, scenario.retrieval, scenario.power
    round_trip_ns = sum(line.delay_ns for pair in (lines.isp, lines.terminals) for line in (pair.up, pair.down))
    if round_trip_ns >= min(retrieval.connect_timeout_ns, INITIAL_RTO_NS):
        yield "a round trip to a terminal takes longer than a connection may, or than TCP waits before it repeats"
    if 2 * round_trip_ns >= retrieval.answer_timeout_ns:
        yield "an exchange takes longer than retrieval.answer_timeout"
    if round_trip_ns + retrieval.retry.interval_ns == 0:
        yield "attempts take no time and have no pause between them"
    is_asked = retrieval.initiative == "server"
    if is_asked and power.when_off == "silent" and power.off.min_ns < retrieval.answer_timeout_ns:
        yield "a silent terminal may be on again before retrieval.answer_timeout is over"


def _of_exchanges(scenario: Scenario, costs: Costs) -> Iterator[str]:
    retrieval = scenario.retrieval
    if not costs.is_free:
        yield "actions cost CPU time: programs wait for each other"
    if retrieval.transport != "tcp":
        yield "retrieval.transport is not tcp"
    if retrieval.info_bytes + SEALED_BYTES > INITIAL_WINDOW_BYTES:
        yield "retrieval.info is more than TCP sends at once"
