"""Simulated time: calls at moments, on SimPy's event queue.

A call is one entry of the queue; calls of one moment run in the order in which they were made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TextIO

from simpy import Environment
from simpy.events import NORMAL, Event


def _run(call: Call) -> None:
    call.function(*call.arguments)


def _nothing(*_: Any) -> None:
    pass


class Call(Event):  # type: ignore[misc]
    """A function to be called at a moment: a SimPy event that has succeeded already and has one callback."""

    def __init__(
        self, env: Environment, at_ns: int, function: Callable[..., None], arguments: tuple[Any, ...]
    ) -> None:
        self.env = env
        self.at_ns = at_ns
        self.function = function
        self.arguments = arguments
        self.callbacks = (_run,)
        self._ok = True
        self._value = None

    def cancel(self) -> None:
        """Do nothing when the moment comes; the entry stays in the queue until then."""
        self.function = _nothing
        self.arguments = ()


class Clock:
    """The simulation's time in ns, and its trace: one line "time_ns place what" per frame and event."""

    def __init__(self, trace: TextIO | None = None) -> None:
        self.env = Environment(initial_time=0)
        self.is_traced = trace is not None
        self.calls = 0
        self._trace = trace
        self._schedule = self.env.schedule

    @property
    def now_ns(self) -> int:
        """The moment that is being played."""
        now_ns: int = self.env.now
        return now_ns

    def at(self, at_ns: int, function: Callable[..., None], *arguments: Any) -> Call:
        """Call `function(*arguments)` at `at_ns`, which is not before now."""
        call = Call(self.env, at_ns, function, arguments)
        self._schedule(call, NORMAL, at_ns - self.env.now)
        self.calls += 1
        return call

    def note(self, place: str, what: str) -> None:
        """Write one line of the trace, if there is one."""
        if self._trace is not None:
            self._trace.write(f"{self.env.now} {place} {what}\n")


class Timer:
    """Calls a function at a moment that may be moved.  Moving it later costs no entry of the queue."""

    __slots__ = ("_at_ns", "_call", "_clock", "_function")

    def __init__(self, clock: Clock, function: Callable[[], None]) -> None:
        self._clock = clock
        self._function = function
        self._call: Call | None = None
        self._at_ns: int | None = None

    @property
    def is_set(self) -> bool:
        """Whether the function is going to be called."""
        return self._at_ns is not None

    def set(self, at_ns: int) -> None:
        """Fire at `at_ns`, and not at any moment set before."""
        self._at_ns = at_ns
        if self._call is None:
            self._call = self._clock.at(at_ns, self._fire)
        elif self._call.at_ns > at_ns:
            self._call.cancel()
            self._call = self._clock.at(at_ns, self._fire)

    def clear(self) -> None:
        """Do not fire."""
        self._at_ns = None

    def _fire(self) -> None:
        self._call = None
        if self._at_ns is None:
            return
        if self._at_ns > self._clock.now_ns:
            self._call = self._clock.at(self._at_ns, self._fire)
            return
        self._at_ns = None
        self._function()
