"""The event loop of every program: epoll, a heap of timers, and a record of how late the timers were."""

from __future__ import annotations

import heapq
import select
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from types import TracebackType

NS_PER_MS = 1_000_000
SUB_BUCKETS_LOG2 = 3
MANY_SOON = 64
"""Callbacks of `call_soon` that run before the loop looks at sockets and timers again."""

Callback = Callable[[], None]
Handler = Callable[[int], None]


class Lateness:
    """How late things were: the exact maximum, and a histogram whose buckets are 1/8 of an octave wide."""

    def __init__(self) -> None:
        self.count = 0
        self.max_ns = 0
        self._buckets = [0] * (64 << SUB_BUCKETS_LOG2)

    def add(self, lag_ns: int) -> None:
        """Note one lag of 0 or more nanoseconds."""
        self.count += 1
        if lag_ns > self.max_ns:
            self.max_ns = lag_ns
        shift = max(0, lag_ns.bit_length() - SUB_BUCKETS_LOG2 - 1)
        self._buckets[(shift << SUB_BUCKETS_LOG2) + (lag_ns >> shift)] += 1

    def quantile_ns(self, share: float) -> int:
        """The lag that `share` of all lags did not exceed, rounded up to its bucket's edge; 0 without any."""
        needed = share * self.count
        seen = 0
        for index, count in enumerate(self._buckets):
            seen += count
            if count and seen >= needed:
                return min(self.max_ns, _upper_edge_ns(index))
        return self.max_ns


def _upper_edge_ns(index: int) -> int:
    shift = max(0, (index >> SUB_BUCKETS_LOG2) - 1)
    mantissa = index - (shift << SUB_BUCKETS_LOG2)
    return ((mantissa + 1) << shift) - 1


class Timer:
    """One call to come; `cancel` forgets it."""

    __slots__ = ("callback", "due_ns")

    def __init__(self, due_ns: int, callback: Callback) -> None:
        self.due_ns = due_ns
        self.callback: Callback | None = callback

    def cancel(self) -> None:
        """Do not call; harmless when it was called already."""
        self.callback = None


class Reactor:
    """Calls handlers when their file descriptors are ready, and callbacks when their time has come.

    Readiness is level-triggered.  Whoever closes a descriptor calls `forget` first.
    """

    def __init__(self) -> None:
        self.lateness = Lateness()
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._new: set[int] = set()
        self._timers: list[tuple[int, int, Timer]] = []
        self._sequence = 0
        self._soon: deque[Callback] = deque()
        self._is_running = False

    def __enter__(self) -> Reactor:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handlers.clear()
        self._timers.clear()
        self._soon.clear()
        self._epoll.close()

    def register(self, fd: int, mask: int, handler: Handler) -> None:
        """Call `handler(ready_mask)` whenever `fd` is ready as `mask` (select.EPOLL…) says."""
        self._epoll.register(fd, mask)
        self._handlers[fd] = handler
        self._new.add(fd)

    def modify(self, fd: int, mask: int) -> None:
        """Wait for something else on `fd`."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """`fd` is about to be closed, which takes it out of epoll without a system call of its own."""
        self._handlers.pop(fd, None)

    def unregister(self, fd: int) -> None:
        """No longer wait for `fd`, which stays open."""
        self._handlers.pop(fd, None)
        self._epoll.unregister(fd)

    def call_at(self, due_ns: int, callback: Callback) -> Timer:
        """Call `callback` at a moment of the monotonic clock."""
        timer = Timer(due_ns, callback)
        self._sequence += 1
        heapq.heappush(self._timers, (due_ns, self._sequence, timer))
        return timer

    def call_soon(self, callback: Callback) -> None:
        """Call `callback` after what is ready now has been handled."""
        self._soon.append(callback)

    def stop(self) -> None:
        """Make `run` return."""
        self._is_running = False

    def run(self) -> None:
        """Serve until `stop` is called; what a handler raises goes through to the caller."""
        self._is_running = True
        while self._is_running:
            ready = self._wait()
            self._new.clear()
            for fd, mask in ready:
                handler = self._handlers.get(fd)
                # A number that was closed and opened again within this batch: the event is the old file's.
                if handler is not None and fd not in self._new:
                    handler(mask)
            self._run_timers()
            for _ in range(min(MANY_SOON, len(self._soon))):
                self._soon.popleft()()

    def _run_timers(self) -> None:
        timers = self._timers
        if not timers:
            return
        now_ns = monotonic_ns()
        while timers and timers[0][0] <= now_ns:
            timer = heapq.heappop(timers)[2]
            callback = timer.callback
            if callback is not None:
                timer.callback = None
                self.lateness.add(monotonic_ns() - timer.due_ns)
                callback()

    def _wait(self) -> list[tuple[int, int]]:
        if self._soon:
            return self._epoll.poll(0)
        timers = self._timers
        while timers and timers[0][2].callback is None:
            heapq.heappop(timers)
        if not timers:
            return self._epoll.poll()
        left_ns = timers[0][0] - monotonic_ns()
        if left_ns <= 0:
            return self._epoll.poll(0)
        if left_ns >= NS_PER_MS:
            # epoll counts whole milliseconds and rounds up: the half keeps float error from adding one.
            return self._epoll.poll((left_ns // NS_PER_MS - 0.5) * 1e-3)
        select.select([self._epoll.fileno()], (), (), left_ns * 1e-9)
        return self._epoll.poll(0)
