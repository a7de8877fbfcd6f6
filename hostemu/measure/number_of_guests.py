"""How many guests fit into a memory budget: a ramp that ends when the next guest would not fit, or when one fails.

What is used is what the guests' processes take, counted once; guests that have none (network namespaces) are counted
by what the machine has less than before.  Whatever the budget, the machine keeps a safe share of its memory.  Those
count that still answer at the end: to a command, and to a ping through the emulator.
The guests are left to the lab, which ends with them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError, RunError
from hostemu.gine import Engine, Network
from hostemu.guests.api import Guest
from hostemu.lab import NetNamespace
from hostemu.measure.bench import NIC, Bench, Once, Sample
from hostemu.measure.definition import Guests
from hostemu.measure.host_end import HostEnd
from hostemu.measure.link import Link
from hostemu.measure.memory_count import Counter, available_bytes
from hostemu.measure.ramp import Budget, Ramp
from hostemu.measure.wiring import open_end

COMMAND_S = 10.0
ECHO_S = 30.0


class GuestCrew:
    """Guests of the bench's backend, each with a NIC of its own.  at_first: bytes available before the first."""

    def __init__(self, bench: Bench, settings: Guests, at_first: int) -> None:
        self.guests: list[Guest] = []
        self._bench = bench
        self._settings = settings
        self._at_first = at_first
        self._counter = Counter()

    def start(self, count: int) -> str:
        """Start them together, then wait for each; the first that fails is the last that is tried."""
        begun: list[Guest] = []
        trouble = ""
        for number in range(len(self.guests), len(self.guests) + count):
            guest = self._create(number)
            trouble = _trouble(guest.start, self._patience(guest), f"guest {number + 1} could not be started")
            if trouble:
                break
            begun.append(guest)
        for guest in begun:
            late = _trouble(guest.wait_ready, self._patience(guest), f"{guest.spec.name} did not answer")
            trouble = trouble or late
            if not late:
                self.guests.append(guest)
                self._counter.add(guest.host_pids())
        return trouble

    def _create(self, number: int) -> Guest:
        spec = self._bench.spec(f"guest-{number}", self._settings.memory_bytes, (Link(number + 1).nic(),))
        return self._bench.backend.create(spec, self._bench.folder / spec.name)

    def _patience(self, guest: Guest) -> Deadline:
        return Deadline.after(self._settings.start_ns / 1e9, f"guest {guest.spec.name} to answer")

    def running(self) -> int:
        """How many run."""
        return len(self.guests)

    def used_bytes(self) -> int:
        """What their processes take; what the machine has less than at first, where they have none."""
        counted = self._counter.total
        return counted.total if counted.processes else max(0, self._at_first - available_bytes())

    def recount(self) -> None:
        """Count all of them anew; those that have died are left out."""
        self._counter = Counter()
        for guest in self.guests:
            with suppress(HostemuError):
                self._counter.add(guest.host_pids())

    def available_bytes(self) -> int:
        """What the machine could still give."""
        return available_bytes()


def _trouble(step: Callable[[Deadline], None], deadline: Deadline, what: str) -> str:
    """Take a step in the life of a guest; what went wrong, in a line."""
    try:
        step(deadline)
    except (HostemuError, OSError) as error:
        return f"{what}: {' '.join(str(error).split())}"
    return ""


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """One ramp; the lab must end after it."""
    yield lambda: _measure(bench, bench.settings_of(Guests))


def _measure(bench: Bench, settings: Guests) -> Sample:
    available = available_bytes()
    budget = Budget.of(dict(bench.parameters), available, settings.safe_share)
    crew = GuestCrew(bench, settings, available)
    ramp = Ramp(crew, budget, settings.at_a_time, settings.at_most, bench.note)
    began_s = time.monotonic()
    ramp.climb(bench.patience("the ramp"))
    climbed_s, count = time.monotonic() - began_s, crew.running()
    if not count:
        raise RunError("not even one guest runs", found=ramp.ended_by)
    crew.recount()
    used, after = crew.used_bytes(), available_bytes()
    bench.note(f"asking {count} guests")
    obeying, answering = _obeying(crew.guests), _answering(bench, crew.guests)
    names = {guest.spec.name for guest in crew.guests}
    values = {
        "guests": float(len(obeying & answering)),
        "guest_bytes": used / count,
        "guest_marginal_bytes": (available - after) / count,
        "guest_start_s": climbed_s / count,
        "budget_bytes": float(budget.limit_bytes),
    }
    raw = {
        "ended_by": ramp.ended_by,
        "started": count,
        "silent_to_commands": sorted(names - obeying),
        "silent_to_ping": sorted(names - answering),
        "used_bytes": used,
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
    """The guests that answer to a ping of the host's, through a router."""
    with ExitStack() as stack:
        namespace = stack.enter_context(NetNamespace())
        network = Network(bench.seed)
        router = network.router("router")
        Link(0).connect(network, router, network.port("host", open_end(namespace, Link(0).nic())))
        names = {}
        for number, guest in enumerate(guests, start=1):
            with suppress(HostemuError):  # a guest that has died since
                Link(number).connect(network, router, network.port(guest.spec.name, guest.nic_fd(NIC)))
                names[Link(number).address] = guest.spec.name
        stack.enter_context(Engine(network))
        host = HostEnd(namespace, Link(0).address, bench.folder)
        return {names[address] for address in host.answering(names, Deadline.after(ECHO_S, "echoes"))}
