"""What the twin derives from a scenario before time starts: settings, secrets, addresses, who gets which list."""

from __future__ import annotations

from dataclasses import dataclass, field

from hostemu.protocol.auth import SCHEMES, Scheme
from hostemu.protocol.wire import Target
from hostemu.scenario import Scenario
from hostemu.scenario.derive import FIRST_DEVICE_ID, TERMINAL_PORT, secret
from hostemu.sim.kernel import Port

FIRST_ADDRESS = 0x0A800000  # 10.128.0.0
ADDRESSES = 1 << 32


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
        self.shared_secret = secret(self.seed, "shared")
        self.own_secret = secret(self.seed, "own")

    @property
    def uses_tcp(self) -> bool:
        """TCP, else UDP, between ISP server and terminals."""
        return self.scenario.retrieval.transport == "tcp"

    @property
    def port_when_off(self) -> Port:
        """What a terminal's port is like while it is off."""
        return Port.CLOSED if self.scenario.power.when_off == "refuse" else Port.SILENT

    def terminals_of(self, guest: int) -> range:
        """The terminals of a guest."""
        fleet = self.scenario.fleet
        first = guest * fleet.terminals_per_guest
        return range(first, min(first + fleet.terminals_per_guest, fleet.terminals))

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
