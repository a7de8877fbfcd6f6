"""What the twin derives from a scenario before time starts: settings, secrets, addresses, who gets which list."""

from __future__ import annotations

from dataclasses import dataclass, field

from hostemu.base.streams import Stream
from hostemu.protocol.auth import SCHEMES, Scheme
from hostemu.protocol.exchange import ExchangeSettings
from hostemu.protocol.power import Phase, PowerSettings
from hostemu.protocol.retriever import RetryPolicy
from hostemu.protocol.wire import Target
from hostemu.scenario import Scenario
from hostemu.sim.kernel import Port

FIRST_DEVICE_ID = 1
TERMINAL_PORT = 5000
ISP_PORT = 7000
FIRST_ADDRESS = 0x0A800000  # 10.128.0.0
ADDRESSES = 1 << 32
SECRET_BYTES = 32


@dataclass
class Plan:
    """The scenario and what follows from it.  seed: of all random streams."""

    scenario: Scenario
    seed: int
    scheme: Scheme = field(init=False)
    shared_secret: bytes = field(init=False)
    own_secret: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.scheme = SCHEMES[self.scenario.retrieval.authentication]
        self.shared_secret = Stream.named(self.seed, "secret", "shared").octets(0, SECRET_BYTES)
        self.own_secret = Stream.named(self.seed, "secret", "own").octets(0, SECRET_BYTES)

    @property
    def uses_tcp(self) -> bool:
        """TCP, else UDP, between ISP server and terminals."""
        return self.scenario.retrieval.transport == "tcp"

    @property
    def port_when_off(self) -> Port:
        """What a terminal's port is like while it is off."""
        return Port.CLOSED if self.scenario.power.when_off == "refuse" else Port.SILENT

    @property
    def power(self) -> PowerSettings:
        """The terminals' power cycle."""
        power = self.scenario.power
        return PowerSettings(
            on_ns=power.on_ns,
            off_min_ns=power.off.min_ns,
            off_max_ns=power.off.max_ns,
            redraw=power.off_draw == "per-cycle",
            phase=Phase(power.phase),
        )

    @property
    def exchange(self) -> ExchangeSettings:
        """How long an ISP server waits for a terminal."""
        retrieval = self.scenario.retrieval
        return ExchangeSettings(self.uses_tcp, retrieval.connect_timeout_ns, retrieval.answer_timeout_ns)

    @property
    def retry(self) -> RetryPolicy:
        """How often an ISP server tries again."""
        retry = self.scenario.retrieval.retry
        return RetryPolicy(retry.interval_ns, retry.max_attempts, retry.keeps_slot)

    def list_of(self, program: int) -> range:
        """The terminals (indexes) of one ISP server program."""
        size = self.scenario.retrieval.list_size
        return range(program * size, min((program + 1) * size, self.scenario.fleet.terminals))

    def guest_of(self, terminal: int) -> int:
        """The guest that a terminal lives in."""
        return terminal // self.scenario.fleet.terminals_per_guest


def target(terminal: int) -> Target:
    """A terminal as it stands in a list.  Addresses wrap round: a fleet may have more terminals than there are."""
    address = (FIRST_ADDRESS + terminal) % ADDRESSES
    return Target(FIRST_DEVICE_ID + terminal, address.to_bytes(4, "big"), TERMINAL_PORT)


def terminal_of(device_id: int) -> int:
    """The index of the terminal with this device ID."""
    return device_id - FIRST_DEVICE_ID
