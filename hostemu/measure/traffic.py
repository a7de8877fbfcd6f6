"""The settings of figures that are measured with traffic: throughput, packets, guests that share, routers."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from hostemu.base.units import NS_PER_S
from hostemu.measure.settings import Count, OneOrMore, Several, Shared
from hostemu.scenario.quantities import MemorySize, PositiveDuration, inconsistent

TBENCH_SHORTEST_NS = 2 * NS_PER_S
LARGEST_PAYLOAD = 1472
"""Bytes of a UDP datagram that fit into one Ethernet frame: 1500 without the headers of IPv4 and UDP."""

LARGEST_SEGMENT = 1460
"""Bytes of a TCP segment that fits into one: 1500 without the headers of IPv4 and TCP."""

EMULATORS_BACKEND = "netns"
"""What is measured of the emulator alone counts as this backend's: its ends are namespaces of this kernel."""

Wirings = Annotated[tuple[Literal["direct", "gine"], ...], Field(strict=False, min_length=1)]
Clients = Annotated[Several, OneOrMore(1, 10_000)]
Segment = Annotated[Several, OneOrMore(100, LARGEST_SEGMENT)]
Payload = Annotated[Several, OneOrMore(16, LARGEST_PAYLOAD)]


class Traffic(Shared):
    """What figures of traffic between guests and the host have.

    wirings: how the guest's NIC reaches the host: "direct", or through the emulator ("gine"), without delay.
    VARIED: the setting (its name in files, its field) that may have several values, each of which is a cell then.
    IN_SECONDS: whether the program that measures takes whole seconds only.
    """

    VARIED: ClassVar[tuple[str, str]]
    IN_SECONDS: ClassVar[bool] = True

    memory_bytes: MemorySize = Field(alias="memory")
    duration_ns: PositiveDuration = Field(alias="duration")
    wirings: Wirings = ("direct", "gine")

    @model_validator(mode="after")
    def _duration_is_possible(self) -> Self:
        if self.IN_SECONDS and self.duration_ns % NS_PER_S:
            raise inconsistent(("duration",), "whole seconds", f"{self.duration_ns / 1e9:g} s")
        if self.timeout_ns <= self.duration_ns:
            raise inconsistent(("timeout",), "longer than duration", f"{self.timeout_ns / 1e9:g} s")
        return self

    @property
    def varied(self) -> tuple[str, Several]:
        """The setting that may have several values: its name in files, and the value or values."""
        name, field = self.VARIED
        return name, getattr(self, field)

    def wirings_of(self, backend: str) -> tuple[str, ...]:
        """The wirings that are measured of a backend."""
        return self.wirings


class Throughput(Traffic):
    """Clients in the guest, the server on the host.

    clients: how many at once; of several numbers, each is a cell.
    """

    VARIED = ("clients", "clients")

    clients: Clients


class Tbench(Throughput):
    """client_lines: how much of the file of tbench's clients is used; all of it does not fit into small guests."""

    client_lines: Count

    @model_validator(mode="after")
    def _tbench_has_time(self) -> Self:
        if self.duration_ns < TBENCH_SHORTEST_NS:
            raise inconsistent(("duration",), "at least 2 s: tbench looks at its clients once a second", "less")
        return self


class PacketRate(Traffic):
    """UDP datagrams, guest to host: how many arrive per second, while one sender offers `rate` of them.

    payload_bytes: of each; of several sizes, each is a cell.
    """

    VARIED = ("payload", "payload_bytes")

    payload_bytes: Payload = Field(alias="payload")
    rate_per_s: Annotated[int, Field(alias="rate", ge=1, le=10_000_000)]


class FrameRate(Traffic):
    """A TCP stream from guest to host whose segments the guest's own kernel cuts: frames per second, both ways.

    segment_bytes: largest segment (MSS, with the options of its header); of several sizes, each is a cell.
    """

    VARIED = ("segment", "segment_bytes")

    segment_bytes: Segment = Field(alias="segment")
    wirings: Wirings = ("direct",)


class Sharing(Traffic):
    """Guests that work at the same time, `clients` clients of iperf in each, the server on the host.

    guests: how many; of several numbers, each is a cell.
    """

    VARIED = ("guests", "guests")

    guests: Annotated[Several, OneOrMore(1, 1000)]
    clients: Annotated[int, Field(ge=1, le=1000)] = 1
    wirings: Wirings = ("direct",)


class Routing(Traffic):
    """A router that is offered more UDP datagrams than it can forward, and the queue in front of it.

    payload_bytes: of each datagram; of several sizes, each is a cell.
    wirings: "direct": the guest is the router, and its two NICs lead to the host.  "gine": the emulator's own router
        in its place; no guest has a part in that, hence it is measured once, with backend netns.
    duration_ns: of the overload.  bursts, burst_frames: so many bursts of so many frames back to back; they must be
        many, since the router goes on working meanwhile.
    """

    VARIED = ("payload", "payload_bytes")
    IN_SECONDS = False

    payload_bytes: Payload = Field(alias="payload")
    bursts: Annotated[int, Field(ge=1, le=1000)] = 3
    burst_frames: Annotated[int, Field(alias="burst", ge=2, le=1_000_000)] = 50_000

    def wirings_of(self, backend: str) -> tuple[str, ...]:
        """Those in which a guest has a part; the others for one backend only."""
        return tuple(name for name in self.wirings if name == "direct" or backend == EMULATORS_BACKEND)
