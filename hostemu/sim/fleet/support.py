"""What keeps a scenario from being played by the compiled engine."""

from __future__ import annotations

from collections.abc import Iterator

from hostemu.measure.costs import Costs
from hostemu.scenario import Scenario
from hostemu.sim.farm import PEER_TIMEOUT_NS
from hostemu.sim.fleet.rules import by_frame, first_repeat_ns
from hostemu.sim.packets import MSS_BYTES
from hostemu.sim.tcp import INITIAL_WINDOW_BYTES

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
        if name != "terminals" and (line.up.loss or line.down.loss):
            yield f"lines.{name} has loss: reports wait for those that are lost"
        elif scenario.retrieval.terminals_call and (line.up.loss or line.down.loss):
            yield f"terminals call, and lines.{name} has loss"


def _of_times(scenario: Scenario) -> Iterator[str]:
    lines, retrieval = scenario.lines, scenario.retrieval
    round_trip_ns = sum(line.delay_ns for pair in (lines.isp, lines.terminals) for line in (pair.up, pair.down))
    repeat_ns = first_repeat_ns(scenario)
    if round_trip_ns >= min(retrieval.connect_timeout_ns, repeat_ns):
        yield "a round trip to a terminal takes longer than a connection may, or than a message waits to be repeated"
    if 2 * round_trip_ns >= retrieval.answer_timeout_ns:
        yield "an exchange takes longer than retrieval.answer_timeout"
    if round_trip_ns + retrieval.retry.interval_ns == 0:
        yield "attempts take no time and have no pause between them"
    if by_frame(scenario) and retrieval.answer_timeout_ns >= PEER_TIMEOUT_NS:
        yield "retrieval.answer_timeout is longer than a terminal waits for its ISP server"


def _of_exchanges(scenario: Scenario, costs: Costs) -> Iterator[str]:
    info_bytes = scenario.retrieval.info_bytes + SEALED_BYTES
    if not costs.is_free:
        yield "actions cost CPU time: programs wait for each other"
    if info_bytes > INITIAL_WINDOW_BYTES:
        yield "retrieval.info is more than TCP sends at once"
    elif by_frame(scenario) and info_bytes > MSS_BYTES:
        yield "retrieval.info is more than a segment, of which each may be lost"
