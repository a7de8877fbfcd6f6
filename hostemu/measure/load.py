"""Host memory of one guest with terminals in it, all of them on: of its processes, counted once.

What this kernel keeps for terminals in a network namespace, their sockets, is no process' memory: what its objects
take more than before is told beside it.  A guest with a kernel of its own keeps them in its own memory.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostError
from hostemu.measure.bench import Bench, Farm, Once, Sample
from hostemu.measure.definition import Load
from hostemu.measure.memory_count import Counter, kernel_bytes
from hostemu.measure.terminals_per_guest import TERMINALS, farm_plan, sample, taking
from hostemu.measure.wiring import GINE, Pair, Wanted, joined

LOOK_S = 0.2


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """A new guest for every repeat."""
    yield lambda: _measure(bench, bench.settings_of(Load))


def _measure(bench: Bench, settings: Load) -> Sample:
    if bench.farm is None:
        raise HostError(f"there is no terminal program for guests of {bench.backend.name}")
    count = int(bench.parameters["terminals"])
    wanted = Wanted(settings.memory_bytes, prefix=str(TERMINALS), files=bench.farm.files())
    with ExitStack() as stack:
        pair = stack.enter_context(joined(bench, wanted, GINE))
        before = kernel_bytes()
        if count:
            stack.enter_context(_terminals(bench, bench.farm, pair, count))
        time.sleep(settings.settle_ns / 1e9)
        counted, in_kernel = Counter().add(pair.guest.host_pids()), kernel_bytes() - before
    values = {}
    if counted.processes:
        values["memory_bytes"] = float(counted.total)
    if not bench.backend.has_own_kernel:
        values["terminals_kernel_bytes"] = float(in_kernel)
    return Sample(values, asdict(counted))


@contextmanager
def _terminals(bench: Bench, farm: Farm, pair: Pair, count: int) -> Iterator[None]:
    """Terminals that run; it is entered when all of a sample of them take connections."""
    plan = farm_plan(count, is_cycling=False)
    limit = Deadline.after(bench.settings.start_ns / 1e9, f"{count} terminals to begin")
    with farm.run(pair.guest, plan, bench.folder, limit) as check:

        def are_on() -> bool:
            check()
            return taking(pair, plan) == len(sample(plan))

        bench.patience(f"{count} terminals to take connections").wait_until(are_on, LOOK_S)
        yield
        check()
