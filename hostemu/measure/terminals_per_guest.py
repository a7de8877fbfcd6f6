"""How many terminals one guest can run: twice as many as before until that fails, then the border between.

Every number is tried in a new guest.  It counts when the program runs for a while, the host can connect to a sample
of the terminals (to those that are on, if they are on in turn), and the guest still obeys.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError, HostError, RunError
from hostemu.measure.bench import CAMPAIGN_LIMITS, Bench, FarmPlan, Once, Sample
from hostemu.measure.definition import Terminals
from hostemu.measure.wiring import GINE, Pair, Wanted, joined

TERMINALS = IPv4Network("10.128.0.0/16")
FIRST = 1
PORT = 5000
SAMPLES = 50
COMMAND_S = 20.0
LOOK_S = 0.5
SAMPLE_S = 10.0
"""What asking a sample may take; terminals that run answer within milliseconds."""


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """A new search for every repeat."""
    yield lambda: _measure(bench, bench.settings_of(Terminals))


def _measure(bench: Bench, settings: Terminals) -> Sample:
    deadline = bench.patience("the search for the number of terminals")
    tried: dict[int, str] = {}

    def runs(count: int) -> bool:
        deadline.check()
        bench.note(f"trying {count} terminals in one guest")
        tried[count] = _trouble(bench, settings, count)
        return not tried[count]

    found = search(runs, settings.first, settings.at_most, settings.resolution)
    failed = {count: why for count, why in tried.items() if why}
    if not found:
        raise RunError("not even one terminal runs in a guest", found=failed[min(failed)])
    ended_by = failed[min(failed)] if failed else f"{CAMPAIGN_LIMITS[0]} of {settings.at_most} terminals"
    return Sample({"terminals": float(found)}, {"ended_by": ended_by, "tried": {str(k): v for k, v in tried.items()}})


def search(runs: Callable[[int], bool], first: int, at_most: int, resolution: float) -> int:
    """The largest number that runs, to within `resolution` of it: by doubling, then by halving; 0 when none does."""
    low, high = 0, min(first, at_most)
    while runs(high):
        if high == at_most:
            return at_most
        low, high = high, min(2 * high, at_most)
    while high - low > max(1.0, resolution * high):
        middle = (low + high) // 2
        low, high = (middle, high) if runs(middle) else (low, middle)
    return low


def _trouble(bench: Bench, settings: Terminals, count: int) -> str:
    """Why so many terminals do not run in a new guest; empty when they do."""
    if bench.farm is None:
        raise HostError(f"there is no terminal program for guests of {bench.backend.name}")
    plan = farm_plan(count, is_cycling=bench.parameters["power"] == "cycle")
    wanted = Wanted(settings.memory_bytes, prefix=str(TERMINALS), files=bench.farm.files())
    with joined(bench, wanted, GINE) as pair:
        try:
            limit = Deadline.after(settings.start_ns / 1e9, f"{count} terminals to begin")
            with bench.farm.run(pair.guest, plan, bench.folder, limit) as check:
                best = _hold(pair, plan, check, settings.hold_ns / 1e9)
                pair.guest.run(["true"], deadline=Deadline.after(COMMAND_S, "the guest to obey"))
        except HostemuError as error:
            return error.message if error.found is None else f"{error.message} ({error.found})"
    wanting = 1 if plan.is_cycling else len(sample(plan))
    return "" if best >= wanting else f"{best} of a sample of {len(sample(plan))} terminals take connections"


def farm_plan(count: int, *, is_cycling: bool) -> FarmPlan:
    """So many terminals, at addresses of TERMINALS."""
    return FarmPlan(count, str(TERMINALS[FIRST]), PORT, is_cycling)


def _hold(pair: Pair, plan: FarmPlan, check: Callable[[], None], hold_s: float) -> int:
    """See the terminals run for a while; how many of a sample took a connection, at best."""
    ends = Deadline.after(hold_s, "the terminals")
    best = 0
    while True:
        check()
        best = max(best, taking(pair, plan))
        if not ends.left_s():
            return best
        time.sleep(min(LOOK_S, ends.left_s()))


def taking(pair: Pair, plan: FarmPlan) -> int:
    """How many of a sample take a connection; a guest that lets us wait is not waited for fifty times."""
    patience = Deadline.after(SAMPLE_S, "a sample of the terminals")
    found = 0
    for address in sample(plan):
        if not patience.left_s():
            break
        found += pair.host.connects(address, plan.port)
    return found


def sample(plan: FarmPlan) -> list[str]:
    """Addresses of some terminals, first and last among them."""
    last, steps = plan.count - 1, max(1, min(SAMPLES, plan.count) - 1)
    offsets = dict.fromkeys(last * at // steps for at in range(steps + 1))
    return [str(IPv4Address(plan.first_address) + offset) for offset in offsets]
