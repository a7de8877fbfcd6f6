"""Programs' use of the host's cores: each program is one thread, and all threads share the cores."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from typing import Any

from simpy import Event, Resource

from hostemu.sim.clock import Clock

SLICE_NS = 3_000_000
"""How long a thread keeps its core while others wait (Linux' base_slice_ns is 2.8 to 3 ms on a small machine)."""

Work = tuple[int, Callable[..., None], tuple[Any, ...]]


class Thread:
    """A program that does one piece of work at a time, in the order in which it came.

    cores: the host's cores, a SimPy resource; None: work takes no time.  busy_ns: CPU time used.
    """

    def __init__(self, clock: Clock, cores: Resource | None) -> None:
        self.busy_ns = 0
        self._clock = clock
        self._work: deque[Work] = deque()
        self._cores = cores
        self._sleep: Event | None = None
        if cores is not None:
            clock.env.process(self._run(cores))

    def do(self, cost_ns: int, function: Callable[..., None], *arguments: Any) -> None:
        """Call the function once the thread has got to it and has spent `cost_ns` on it."""
        if self._cores is None or (cost_ns == 0 and self._sleep is not None):
            function(*arguments)
            return
        self._work.append((cost_ns, function, arguments))
        if self._sleep is not None:
            self._sleep.succeed()
            self._sleep = None

    def _run(self, cores: Resource) -> Generator[Any, Any, None]:
        while True:
            if not self._work:
                self._sleep = self._clock.env.event()
                yield self._sleep
            with cores.request() as core:
                yield core
                yield from self._spend_slice()

    def _spend_slice(self) -> Generator[Any, Any, None]:
        left_ns = SLICE_NS
        while self._work and left_ns > 0:
            cost_ns, function, arguments = self._work.popleft()
            if cost_ns:
                yield self._clock.env.timeout(cost_ns)
                self.busy_ns += cost_ns
                left_ns -= cost_ns
            function(*arguments)


class Queue:
    """What waits in front of a thread.  limit: of items, 0: none.  dropped: those that found no room."""

    def __init__(self, thread: Thread, limit: int) -> None:
        self.dropped = 0
        self._thread = thread
        self._limit = limit
        self._waiting = 0

    def offer(self, cost_ns: int, function: Callable[..., None], *arguments: Any) -> bool:
        """Have the thread call the function, as `Thread.do`; False when there is no room."""
        if self._limit and self._waiting >= self._limit:
            self.dropped += 1
            return False
        self._waiting += 1
        self._thread.do(cost_ns, self._next, function, arguments)
        return True

    def _next(self, function: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self._waiting -= 1
        function(*arguments)
