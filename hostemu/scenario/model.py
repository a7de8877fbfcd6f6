"""What a scenario says: fleet, power cycle, retrieval, hosts, lines.  In files, keys have no unit suffix."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import Field, model_validator

from hostemu.base.errors import InputError
from hostemu.base.units import NS_PER_S
from hostemu.protocol.wire import MAX_FRAME_BYTES
from hostemu.scenario.line import Lines, LineSettings
from hostemu.scenario.problems import Source, validated
from hostemu.scenario.quantities import SIZE, Duration, MemorySize, PositiveDuration, Quantity, Settings, inconsistent
from hostemu.scenario.toml import to_toml

SCHEMA = 1
MAXIMUM_TERMINALS = 10**9
MAXIMUM_INFO_BYTES = MAX_FRAME_BYTES - 1024
"""Leaves room in a message for headers, nonces, proofs and seal."""

Count = Annotated[int, Field(ge=1, le=MAXIMUM_TERMINALS)]
InfoSize = Annotated[int, Quantity(SIZE, 0, MAXIMUM_INFO_BYTES)]

AnySettings = TypeVar("AnySettings", bound=Settings)


class Fleet(Settings):
    """How many terminals there are, and how many of them share a guest; the last guest may have fewer."""

    terminals: Count
    terminals_per_guest: Count


class OffTime(Settings):
    """Bounds of the uniform off time."""

    min_ns: Duration = Field(alias="min")
    max_ns: Duration = Field(alias="max")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if self.max_ns < self.min_ns:
            raise inconsistent(("max",), "max not below min", f"{self.max_ns} ns < {self.min_ns} ns")
        return self


class Power(Settings):
    """The terminals' power cycle.

    off_draw: the off time is drawn once per terminal, or anew in each cycle.
    phase: where in its cycle a terminal is when the run starts: anywhere (uniform), at the start of on, or of off.
    when_off: the host is up and answers that the port is closed, or nothing answers.
    """

    on_ns: PositiveDuration = Field(alias="on")
    off: OffTime
    off_draw: Literal["per-terminal", "per-cycle"] = "per-terminal"
    phase: Literal["random", "on", "off"] = "random"
    when_off: Literal["refuse", "silent"] = "refuse"


class Retry(Settings):
    """What whoever has the initiative does after a failed attempt.

    interval_ns: from the end of the attempt to the next.  max_attempts: the first one included.
    keeps_slot: while it waits, the terminal keeps its place among the concurrent ones, else it queues again.
    after: any failed attempt is repeated, or only one to which nobody answered (or a host, that the port is closed);
        a terminal whose exchange breaks off has then failed.
    """

    interval_ns: Duration = Field(default=2 * NS_PER_S, alias="interval")
    max_attempts: Annotated[int, Field(ge=1, le=1_000_000)] = 60
    keeps_slot: bool = True
    after: Literal["any", "no-contact"] = "any"


class Retrieval(Settings):
    """How the information is fetched.

    initiative: who calls: an ISP server its terminals, or each terminal its ISP server, whenever it wakes up.
    list_size: terminals per ISP server program.  concurrency: terminals that a program is in contact with at a time.
    partitioned: each of these contacts has its own part of the list, fixed beforehand, as threads that divide it
        among them would; otherwise whichever is free takes the list's next terminal.
    answer_timeout_ns: for the whole exchange after the connection stands.  deadline_ns: for the whole run.
    """

    initiative: Literal["server", "terminal"] = "server"
    transport: Literal["tcp", "udp"] = "tcp"
    authentication: Literal["xor", "hmac-sha256"] = "hmac-sha256"
    list_size: Count
    concurrency: Count
    partitioned: bool = False
    connect_timeout_ns: PositiveDuration = Field(default=1 * NS_PER_S, alias="connect_timeout")
    answer_timeout_ns: PositiveDuration = Field(default=2 * NS_PER_S, alias="answer_timeout")
    info_bytes: InfoSize = Field(default=200, alias="info")
    deadline_ns: PositiveDuration = Field(alias="deadline")
    retry: Retry = Retry()

    @property
    def terminals_call(self) -> bool:
        """Terminals have the initiative, not ISP servers."""
        return self.initiative == "terminal"

    @model_validator(mode="after")
    def _concurrency_fits_the_list(self) -> Self:
        if self.concurrency > self.list_size:
            expected = f"at most list_size = {self.list_size}"
            raise inconsistent(("concurrency",), expected, str(self.concurrency))
        if self.partitioned and not self.retry.keeps_slot:
            raise inconsistent(("partitioned",), "false, where retry.keeps_slot is false", "true")
        return self

    @model_validator(mode="after")
    def _calls_of_terminals_are_simple(self) -> Self:
        if not self.terminals_call:
            return self
        if self.transport != "tcp":
            raise inconsistent(("transport",), "tcp, where initiative is terminal", self.transport)
        if self.partitioned:
            expected = "false, where initiative is terminal: nobody goes through a list"
            raise inconsistent(("partitioned",), expected, "true")
        if not self.retry.keeps_slot:
            expected = "true, where initiative is terminal: nobody who waits for a next attempt has a slot"
            raise inconsistent(("retry", "keeps_slot"), expected, "false")
        if self.retry.after != "any":
            expected = "any, where initiative is terminal: a terminal that was cut off calls again"
            raise inconsistent(("retry", "after"), expected, self.retry.after)
        return self


class Hosts(Settings):
    """What guests are, where the backend has memory and kernels of its own.

    memory_bytes: of a terminal guest.  center_memory_bytes: of the center's guest, which sees the host's files.
    center: whether the center is a guest like the others, or a namespace of the host, as the ISP server always is.
    wiring: how hosts are joined; see hostemu.runner.fabric.  segment: what the network that they share is made of.
    real_guests: so many terminal guests are real, the first ones; the others' terminals are simulated, and answer the
        real ISP server's frames.  None: all are real.
    """

    memory_bytes: MemorySize = Field(default=32 * 2**20, alias="memory")
    center: Literal["guest", "host"] = "guest"
    center_memory_bytes: MemorySize = Field(default=256 * 2**20, alias="center_memory")
    wiring: Literal["gine", "tap", "segment"] = "gine"
    segment: Literal["auto", "multicast", "switch"] = "auto"
    real_guests: Annotated[int, Field(ge=0, le=MAXIMUM_TERMINALS)] | None = None


class Scenario(Settings):
    """One scenario, complete and consistent.  source: where its figures come from.  seed: of all random streams."""

    schema_version: Literal[1] = Field(alias="schema")
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    title: Annotated[str, Field(max_length=200)] = ""
    source: Annotated[str, Field(max_length=500)] = ""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    fleet: Fleet
    power: Power
    retrieval: Retrieval
    hosts: Hosts = Hosts()
    lines: Lines = Lines()

    @model_validator(mode="after")
    def _lines_fit_the_wiring(self) -> Self:
        lines, wiring = self.lines, self.hosts.wiring
        if wiring == "tap" and lines != Lines():
            raise inconsistent(("lines",), "no lines where hosts.wiring is tap: the emulator is not there", "some")
        if wiring == "segment" and (lines.center != lines.terminals or lines.isp != LineSettings()):
            expected = "the same line for center and terminals, and none for isp, where hosts.wiring is segment"
            raise inconsistent(("lines",), expected, "others: there is one line, between router and ISP host")
        return self

    @model_validator(mode="after")
    def _terminals_wake_up_if_they_are_to_call(self) -> Self:
        if self.retrieval.terminals_call and self.power.off.min_ns == 0:
            expected = "more than 0, where retrieval.initiative is terminal: terminals call when they wake up"
            raise inconsistent(("power", "off", "min"), expected, "0")
        return self

    @model_validator(mode="after")
    def _simulated_guests_are_reached_by_the_emulator(self) -> Self:
        if self.real_guests == self.guests:
            return self
        if self.hosts.wiring == "tap":
            raise inconsistent(("hosts", "wiring"), "gine or segment, where guests are simulated", "tap")
        if self.retrieval.transport != "tcp":
            raise inconsistent(
                ("retrieval", "transport"), "tcp, where guests are simulated", self.retrieval.transport
            )
        if self.retrieval.terminals_call:
            raise inconsistent(("retrieval", "initiative"), "server, where guests are simulated", "terminal")
        return self

    @property
    def guests(self) -> int:
        """Guests that have terminals."""
        return math.ceil(Fraction(self.fleet.terminals, self.fleet.terminals_per_guest))

    @property
    def real_guests(self) -> int:
        """How many of them, the first ones, are real where hosts are."""
        wanted = self.hosts.real_guests
        return self.guests if wanted is None else min(self.guests, wanted)

    @property
    def isp_programs(self) -> int:
        """ISP server programs, one per list."""
        return math.ceil(Fraction(self.fleet.terminals, self.retrieval.list_size))

    def to_toml(self) -> str:
        """The complete scenario, defaults included, as a file that reads back as the same scenario."""
        return to_toml(self._document())

    def scaled(self, factor: float) -> Scenario:
        """The scenario `factor` times faster: durations divided by it, rates multiplied; sizes and counts stay.

        Durations are rounded to nanoseconds.  ScenarioError when a value leaves its range.
        """
        if not (math.isfinite(factor) and factor > 0):
            raise InputError("a time scale that is none", expected="a number above 0", found=repr(factor))
        if factor == 1:
            return self
        faster = _scaled(self, Fraction(repr(float(factor))))
        return validated(Scenario, faster._document(), Source(f"scenario {self.name} played {factor:g} times faster"))

    def _document(self) -> dict[str, Any]:
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _scaled(settings: AnySettings, factor: Fraction) -> AnySettings:
    changes: dict[str, Any] = {}
    for name, value in settings:
        if isinstance(value, Settings):
            changes[name] = _scaled(value, factor)
        elif name.endswith("_ns") and value is not None:
            changes[name] = round(value / factor)
        elif name.endswith("_bps") and value is not None:
            changes[name] = round(value * factor)
    return settings.model_copy(update=changes)
