"""How many guests fit into a memory budget: a ramp that ends when the next guest would not fit, or when one fails.

What is used is what the guests' processes take, counted once; guests that have none (network namespaces) are counted
by what the machine has less than before.  Whatever the budget, the machine keeps a safe share of its memory.  Those
count that still answer at the end: to a command, and to a ping through the emulator.
The guests are left to the lab, which ends with them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError
from hostemu.base.units import parse_size_bytes
from hostemu.gine import Engine, Network
from hostemu.guests.api import Guest, NicSpec
from hostemu.lab import NetNamespace
from hostemu.measure.bench import NIC, Bench, Once, Sample
from hostemu.measure.definition import Guests
from hostemu.measure.host_end import HostEnd
from hostemu.measure.memory_count import Counter, available_bytes
from hostemu.measure.wiring import open_end

HOST_ADDRESS, HOST_MAC = "10.64.0.1", "02:00:01:00:00:00"
FIRST_GUEST = IPv4Address("10.64.0.2")
PREFIX_LENGTH = 16
COMMAND_S = 10.0
ECHO_S = 30.0
RECOUNT_GROWTH = 1.25
"""All guests are counted anew when there are so many times as many as at the last count."""


@dataclass(frozen=True)
class Budget:
    """limit: bytes that guests may use.  floor: bytes that must stay available on the machine.  name: for people."""

    limit_bytes: int
    floor_bytes: int
    name: str

    @staticmethod
    def of(parameters: dict[str, str | float], available: int, safe_share: float) -> Budget:
        """The budget of a cell on a machine with so many bytes available."""
        floor = round(available * (1 - safe_share))
        if "budget" in parameters:
            text = str(parameters["budget"])
            return Budget(parse_size_bytes(text), floor, f"the budget of {text}")
        share = float(parameters["share"])
        return Budget(round(available * share), floor, f"{share:.0%} of the machine's available memory")


@dataclass
class Ramp:
    """Guests that run so far, and what they use.  ended_by: why no further ones were started."""

    bench: Bench
    settings: Guests
    budget: Budget
    at_first: int
    guests: list[Guest] = field(default_factory=list)
    ended_by: str = ""
    _counter: Counter = field(default_factory=Counter)
    _recounted_at: int = 0

    def climb(self, deadline: Deadline) -> None:
        """Start guests until it ends."""
        while not self.ended_by:
            number = self._room(deadline)
            if number:
                self._start(number)
                self.bench.note(f"{len(self.guests)} guests, {self.used_bytes() / 2**20:.0f} MiB")

    def used_bytes(self) -> int:
        """What the guests use."""
        counted = self._counter.total
        return counted.total if counted.processes else max(0, self.at_first - available_bytes())

    def recount(self) -> None:
        """Count all guests anew: they grow, and what they share is divided among more of them."""
        self._counter = Counter()
        for guest in self.guests:
            with suppress(HostemuError):
                self._counter.add(guest.host_pids())
        self._recounted_at = len(self.guests)

    def _room(self, deadline: Deadline) -> int:
        """How many guests to start next; 0 when that is the end, which is noted."""
        running = len(self.guests)
        if running >= self.settings.at_most:
            self.ended_by = f"the campaign's limit of {self.settings.at_most} guests"
        elif not deadline.left_s():
            self.ended_by = "the time that the campaign allows"
        elif not running:
            return 1
        else:
            return self._fitting()
        return 0

    def _fitting(self) -> int:
        """As many more as fit, judged by the mean of those that run, but not too many at a time."""
        running = len(self.guests)
        if running >= self._recounted_at * RECOUNT_GROWTH or self._left() < 1:
            self.recount()
        left = min(self._left(), self.settings.at_a_time, self.settings.at_most - running)
        if left < 1:
            self.ended_by = self.budget.name
        elif (available_bytes() - self.budget.floor_bytes) / max(1.0, self._each()) < left:
            self.ended_by = "the share of the machine's memory that is safe to use"
            left = 0
        return max(0, int(left))

    def _each(self) -> float:
        return self.used_bytes() / max(1, len(self.guests))

    def _left(self) -> float:
        """How many more guests fit into the budget."""
        return (self.budget.limit_bytes - self.used_bytes()) / max(1.0, self._each())

    def _start(self, number: int) -> None:
        """Start some guests together; the first that fails ends the ramp."""
        begun = [self._create(len(self.guests) + at) for at in range(number)]
        for at, guest in enumerate(begun):
            name = guest.spec.name
            try:
                deadline = Deadline.after(self.settings.start_ns / 1e9, f"guest {name} to start")
                guest.start(deadline)
            except (HostemuError, OSError) as error:
                self.ended_by = f"guest {len(self.guests) + at + 1} could not be started: {_in_a_line(error)}"
                begun = begun[:at]
                break
        for guest in begun:
            try:
                guest.wait_ready(Deadline.after(self.settings.start_ns / 1e9, f"an answer from {guest.spec.name}"))
                self._counter.add(guest.host_pids())
                self.guests.append(guest)
            except (HostemuError, OSError) as error:
                self.ended_by = self.ended_by or f"guest {len(self.guests) + 1} did not answer: {_in_a_line(error)}"

    def _create(self, number: int) -> Guest:
        spec = self.bench.spec(f"guest-{number}", self.settings.memory_bytes, (guest_nic(number),))
        return self.bench.backend.create(spec, self.bench.folder / spec.name)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())


def guest_address(number: int) -> str:
    """The address of guest `number`, from 0."""
    return str(FIRST_GUEST + number)


def guest_mac(number: int) -> str:
    """The MAC address of guest `number`."""
    octets = (2, 0, *(number + 1).to_bytes(4, "big"))
    return ":".join(f"{octet:02x}" for octet in octets)


def guest_nic(number: int) -> NicSpec:
    """A NIC in one network with the host, which it knows: nobody has to ask for MAC addresses."""
    address = f"{guest_address(number)}/{PREFIX_LENGTH}"
    return NicSpec(NIC, guest_mac(number), addresses=(address,), neighbours=((HOST_ADDRESS, HOST_MAC),))


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """One ramp; the lab must end after it."""
    yield lambda: _measure(bench, bench.settings_of(Guests))


def _measure(bench: Bench, settings: Guests) -> Sample:
    available = available_bytes()
    ramp = Ramp(bench, settings, Budget.of(dict(bench.parameters), available, settings.safe_share), available)
    began_s = time.monotonic()
    ramp.climb(bench.patience("the ramp"))
    climbed_s = time.monotonic() - began_s
    ramp.recount()
    used, after = ramp.used_bytes(), available_bytes()
    bench.note(f"asking {len(ramp.guests)} guests")
    obeying, answering = _obeying(ramp.guests), _answering(bench, ramp.guests)
    count = max(1, len(ramp.guests))
    values = {
        "guests": float(len(obeying & answering)),
        "guest_bytes": used / count,
        "guest_marginal_bytes": (available - after) / count,
        "guest_start_s": climbed_s / count,
    }
    raw = {
        "ended_by": ramp.ended_by,
        "started": len(ramp.guests),
        "silent_to_commands": sorted({guest.spec.name for guest in ramp.guests} - obeying),
        "silent_to_ping": sorted({guest.spec.name for guest in ramp.guests} - answering),
        "used_bytes": used,
        "budget_bytes": ramp.budget.limit_bytes,
    }
    return Sample(values, raw)


def _obeying(guests: list[Guest]) -> set[str]:
    """The guests that still carry out a command."""
    found = set()
    for guest in guests:
        with suppress(HostemuError):
            guest.run(["true"], deadline=Deadline.after(COMMAND_S, f"guest {guest.spec.name} to obey"))
            found.add(guest.spec.name)
    return found


def _answering(bench: Bench, guests: list[Guest]) -> set[str]:
    """The guests that answer to a ping, all of them on one switch with the host."""
    with ExitStack() as stack:
        namespace = stack.enter_context(NetNamespace())
        neighbours = tuple((guest_address(at), guest_mac(at)) for at in range(len(guests)))
        far = NicSpec(NIC, HOST_MAC, addresses=(f"{HOST_ADDRESS}/{PREFIX_LENGTH}",), neighbours=neighbours)
        network = Network(bench.seed)
        switch = network.switch("switch")
        network.connect(network.port("host", open_end(namespace, far)), switch)
        names = {}
        for guest in guests:
            with suppress(HostemuError):
                network.connect(network.port(guest.spec.name, guest.nic_fd(NIC)), switch)
                names[guest.spec.nics[0].addresses[0].partition("/")[0]] = guest.spec.name
        stack.enter_context(Engine(network))
        host = HostEnd(namespace, HOST_ADDRESS, bench.folder)
        return {names[address] for address in host.answering(names, Deadline.after(ECHO_S, "echoes"))}
