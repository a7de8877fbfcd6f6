"""What follows from a scenario, however it is played: protocol settings, identities, secrets, who has which list."""

from __future__ import annotations

from hostemu.base.streams import Stream
from hostemu.protocol.exchange import ExchangeSettings
from hostemu.protocol.power import Phase, PowerSettings
from hostemu.protocol.retriever import RetryPolicy
from hostemu.scenario.model import Scenario

FIRST_DEVICE_ID = 1
TERMINAL_PORT = 5000
ISP_PORT = 7000
"""ISP server program number k takes the center's commands on ISP_PORT + k."""

CALL_PORT = 20000
"""…, and terminals' calls on CALL_PORT + k."""

SECRET_BYTES = 32


def power_settings(scenario: Scenario) -> PowerSettings:
    """The terminals' power cycle."""
    power = scenario.power
    return PowerSettings(
        on_ns=power.on_ns,
        off_min_ns=power.off.min_ns,
        off_max_ns=power.off.max_ns,
        redraw=power.off_draw == "per-cycle",
        phase=Phase(power.phase),
    )


def exchange_settings(scenario: Scenario) -> ExchangeSettings:
    """How long an ISP server waits for a terminal."""
    retrieval = scenario.retrieval
    return ExchangeSettings(retrieval.transport == "tcp", retrieval.connect_timeout_ns, retrieval.answer_timeout_ns)


def retry_policy(scenario: Scenario) -> RetryPolicy:
    """How often an ISP server tries again."""
    retry = scenario.retrieval.retry
    return RetryPolicy(
        retry.interval_ns,
        retry.max_attempts,
        retry.keeps_slot,
        scenario.retrieval.partitioned,
        after_contact=retry.after == "any",
    )


def program_of(scenario: Scenario, terminal: int) -> int:
    """The ISP server program that has this terminal (index) on its list."""
    return terminal // scenario.retrieval.list_size


def secret(seed: int, name: str) -> bytes:
    """What keys are derived from; name: "shared" (ISP servers know it) or "own" (the center knows it)."""
    return Stream.named(seed, "secret", name).octets(0, SECRET_BYTES)


def list_of(scenario: Scenario, program: int) -> range:
    """The terminals (indexes) of one ISP server program."""
    size = scenario.retrieval.list_size
    return range(program * size, min((program + 1) * size, scenario.fleet.terminals))
