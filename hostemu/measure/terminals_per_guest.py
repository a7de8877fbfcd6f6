"""How many terminals one guest can run: twice as many as before until that fails, then the border between.

Every number is tried in a new guest.  It counts when the program says that all of them listen, the host can connect
to a sample of them, and the guest still obeys.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostemuError, HostError, RunError
from hostemu.measure.bench import CAMPAIGN_LIMITS, Bench, FarmPlan, Once, Sample
from hostemu.measure.definition import Terminals
from hostemu.measure.wiring import GINE, Wanted, joined

TERMINALS = IPv4Network("10.128.0.0/16")
FIRST = 1
PORT = 5000
SAMPLES = 50
COMMAND_S = 20.0


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
    plan = FarmPlan(count, str(TERMINALS[FIRST]), PORT)
    wanted = Wanted(settings.memory_bytes, prefix=str(TERMINALS), files=bench.farm.files())
    with joined(bench, wanted, GINE) as pair:
        try:
            limit = Deadline.after(settings.start_ns / 1e9, f"{count} terminals to listen")
            with bench.farm.run(pair.guest, plan, bench.folder, limit):
                silent = [address for address in _sample(plan) if not pair.host.connects(address, plan.port)]
                pair.guest.run(["true"], deadline=Deadline.after(COMMAND_S, "the guest to obey"))
            return f"no connection to {silent[0]} and {len(silent) - 1} others of {SAMPLES}" if silent else ""
        except HostemuError as error:
            return " ".join(str(error).split())


def _sample(plan: FarmPlan) -> list[str]:
    """Addresses of some terminals, first and last among them."""
    last, steps = plan.count - 1, max(1, min(SAMPLES, plan.count) - 1)
    offsets = dict.fromkeys(last * at // steps for at in range(steps + 1))
    return [str(IPv4Address(plan.first_address) + offset) for offset in offsets]
