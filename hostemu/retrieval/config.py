"""The configuration of each program: what the runner writes, and the program reads, as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from itertools import pairwise
from typing import TypeVar

from hostemu.protocol.power import PowerSettings
from hostemu.protocol.retriever import RetryPolicy
from hostemu.retrieval import strict
from hostemu.retrieval.strict import require

T = TypeVar("T", bound="Config")

MAX_INFORMATION_BYTES = 15_000
"""Fits a frame, with seal and proof."""

MAX_DEVICE_ID = (1 << 63) - 1
"""Stores have signed integers of 64 bits."""

MAX_NUMBER = (1 << 63) - 1
"""Of seeds and indexes: the farm also exists in C."""

MAX_CALLS = 1_000_000_000
"""Of a terminal; a message has 32 bits for the number of a call."""

MAX_PORT = 65535

MAX_DURATION_NS = 1 << 60
"""36 years, so that sums of a few durations and moments stay within signed integers of 64 bits."""

NS_PER_S = 1_000_000_000


class Transport(Enum):
    """How ISP servers and terminals talk."""

    TCP = "tcp"
    UDP = "udp"


class Authentication(Enum):
    """The scheme, by its name in hostemu.protocol.auth.SCHEMES."""

    XOR = "xor"
    HMAC_SHA256 = "hmac-sha256"


class WhenOff(Enum):
    """What a caller of a terminal that is off meets: its host's refusal, or nothing."""

    REFUSE = "refuse"
    SILENT = "silent"


class Config:
    """Base of the configurations."""

    @classmethod
    def from_json(cls: type[T], text: str, file: str = "configuration") -> T:
        """Read it strictly; InputError names file, key, expected and found."""
        return strict.from_json(cls, text, file)

    def to_json(self) -> str:
        """The text that `from_json` restores exactly."""
        return strict.to_json(self)


def _require_address(key: str, address: str, count: int = 1) -> None:
    try:
        ip_address(address) + (count - 1)
    except ValueError:
        require(False, key, f"an IPv4 or IPv6 address with {count - 1} more after it", address)


def _require_at_least(low: int, **values: int) -> None:
    for key, value in values.items():
        require(value >= low, key, f"at least {low}", value)


def _require_between(key: str, value: int, low: int, high: int) -> None:
    require(low <= value <= high, key, f"{low} to {high}", value)


def _require_port(key: str, port: int, low: int = 1) -> None:
    require(low <= port <= MAX_PORT, key, f"a port, {low} to {MAX_PORT}", port)


@dataclass(frozen=True)
class Home:
    """Where terminals call, and how: number k of the fleet calls `address`, port `port` + k // list_size.

    connect_timeout_ns, answer_timeout_ns: for the connection, and from then on for the call.
    interval_ns, max_attempts: of calls, as a RetryPolicy has them.
    """

    address: str
    port: int
    list_size: int
    connect_timeout_ns: int
    answer_timeout_ns: int
    interval_ns: int
    max_attempts: int

    def __post_init__(self) -> None:
        _require_address("address", self.address)
        _require_between("port", self.port, 1, MAX_PORT)
        _require_between("list_size", self.list_size, 1, MAX_NUMBER)
        _require_between("connect_timeout_ns", self.connect_timeout_ns, 1, MAX_DURATION_NS)
        _require_between("answer_timeout_ns", self.answer_timeout_ns, 1, MAX_DURATION_NS)
        _require_between("interval_ns", self.interval_ns, 0, MAX_DURATION_NS)
        _require_between("max_attempts", self.max_attempts, 1, MAX_CALLS)


@dataclass(frozen=True)
class FarmConfig(Config):
    """A farm: terminals first_index … first_index + count − 1 of the fleet.

    Terminal number j of the farm has device ID first_device_id + j and listens on first_address + j.
    shared_secret, own_secret: what the terminals' two keys are derived from.
    peer_timeout_ns: how long an exchange may take, and a finished one over UDP is remembered.
    home: where terminals call, instead of listening; needs TCP.  None: they listen.
    """

    seed: int
    first_index: int
    count: int
    first_device_id: int
    first_address: str
    port: int
    transport: Transport
    authentication: Authentication
    shared_secret: bytes
    own_secret: bytes
    information_bytes: int
    power: PowerSettings
    when_off: WhenOff
    peer_timeout_ns: int = 10 * NS_PER_S
    home: Home | None = None

    def __post_init__(self) -> None:
        _require_between("seed", self.seed, 0, MAX_NUMBER)
        _require_between("count", self.count, 1, MAX_NUMBER)
        _require_between("first_index", self.first_index, 0, MAX_NUMBER - self.count + 1)
        _require_between("first_device_id", self.first_device_id, 0, MAX_DEVICE_ID - self.count + 1)
        _require_address("first_address", self.first_address, self.count)
        _require_port("port", self.port)
        _require_between("information_bytes", self.information_bytes, 0, MAX_INFORMATION_BYTES)
        power = self.power
        _require_between("power.on_ns", power.on_ns, 1, MAX_DURATION_NS)
        _require_between("power.off_min_ns", power.off_min_ns, 1, MAX_DURATION_NS)
        _require_between("power.off_max_ns", power.off_max_ns, power.off_min_ns, MAX_DURATION_NS)
        _require_between("peer_timeout_ns", self.peer_timeout_ns, 1, MAX_DURATION_NS)
        if self.home is not None:
            last_port = self.home.port + (self.first_index + self.count - 1) // self.home.list_size
            _require_between("home.port", last_port, 1, MAX_PORT)
            require(self.transport is Transport.TCP, "transport", "tcp, where terminals call", self.transport.value)


@dataclass(frozen=True)
class IspConfig(Config):
    """An ISP server program.

    address, port: where it waits for the center; port 0 takes a free one and tells it when ready.
    source_addresses: where its attempts come from, in turn; empty leaves it to the kernel.
    list_size: a longer list is refused.  concurrency: terminals in contact at the same time.
    call_port: where terminals call it, as long as it has a list; 0: a free one.  None: it calls them.
    """

    address: str
    port: int
    transport: Transport
    authentication: Authentication
    shared_secret: bytes
    list_size: int
    concurrency: int
    retry: RetryPolicy
    connect_timeout_ns: int
    answer_timeout_ns: int
    source_addresses: tuple[str, ...] = ()
    call_port: int | None = None

    def __post_init__(self) -> None:
        _require_address("address", self.address)
        _require_port("port", self.port, low=0)
        _require_at_least(1, list_size=self.list_size, concurrency=self.concurrency)
        _require_at_least(1, connect_timeout_ns=self.connect_timeout_ns, answer_timeout_ns=self.answer_timeout_ns)
        require(self.retry.interval_ns >= 0, "retry.interval_ns", "at least 0", self.retry.interval_ns)
        require(self.retry.max_attempts >= 1, "retry.max_attempts", "at least 1", self.retry.max_attempts)
        keeps = self.retry.keeps_slot or not self.retry.partitioned
        require(keeps, "retry.partitioned", "false, where keeps_slot is false", self.retry.partitioned)
        for at, address in enumerate(self.source_addresses):
            _require_address(f"source_addresses[{at}]", address)
        if self.call_port is not None:
            _require_port("call_port", self.call_port, low=0)
            require(self.transport is Transport.TCP, "transport", "tcp, where terminals call", self.transport.value)


@dataclass(frozen=True)
class TerminalRange:
    """`count` terminals with consecutive device IDs and addresses."""

    first_device_id: int
    first_address: str
    port: int
    count: int

    def __post_init__(self) -> None:
        _require_at_least(1, count=self.count)
        _require_at_least(0, first_device_id=self.first_device_id)
        last = self.first_device_id + self.count - 1
        require(last <= MAX_DEVICE_ID, "first_device_id", f"IDs of at most {MAX_DEVICE_ID}", last)
        _require_address("first_address", self.first_address, self.count)
        _require_port("port", self.port)


@dataclass(frozen=True)
class IspAssignment:
    """An ISP server program's address, and the terminals that it is to ask."""

    address: str
    port: int
    terminals: tuple[TerminalRange, ...]

    def __post_init__(self) -> None:
        _require_address("address", self.address)
        _require_port("port", self.port)
        require(len(self.terminals) > 0, "terminals", "at least one range", [])


@dataclass(frozen=True)
class CenterConfig(Config):
    """The center.

    database: SQLAlchemy URL of the store.  is_store_remote: it is a file of another kernel's.
    run_id: under which everything is stored; must be new to the store.
    deadline_ns: of the whole run.  connect_deadline_ns: until an ISP server must take the connection.
    """

    own_secret: bytes
    authentication: Authentication
    run_id: str
    deadline_ns: int
    isps: tuple[IspAssignment, ...]
    database: str = "sqlite:///center.sqlite"
    is_store_remote: bool = False
    connect_deadline_ns: int = 10 * NS_PER_S

    def __post_init__(self) -> None:
        _require_at_least(1, deadline_ns=self.deadline_ns, connect_deadline_ns=self.connect_deadline_ns)
        require(bool(self.run_id), "run_id", "a name", self.run_id)
        require(len(self.isps) > 0, "isps", "at least one ISP server", [])
        spans = sorted((r.first_device_id, r.first_device_id + r.count) for isp in self.isps for r in isp.terminals)
        for (_, end), (first, _) in pairwise(spans):
            require(first >= end, "isps", "every device ID once", f"device {first} twice")

    @property
    def total(self) -> int:
        """Terminals of the plan."""
        return sum(span.count for isp in self.isps for span in isp.terminals)
