"""What it takes from nothing to a guest that answers a ping, counted while it is done.

Of what a user would have to do by hand: programs to run, files to make, settings, privileges to have.  And whether a
screen is needed: the guest is started without one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

from hostemu.base.deadline import Deadline
from hostemu.base.errors import GuestError
from hostemu.guests.api import Preparation
from hostemu.measure.bench import GUEST_ADDRESS, Bench, Once, Sample
from hostemu.measure.definition import Ease
from hostemu.measure.trace import Trace, tracing
from hostemu.measure.wiring import Wanted, easiest, joined

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")
PING_S = 10.0


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """A new guest for every repeat, without a screen."""
    kept = {name: os.environ.pop(name) for name in SCREENS if name in os.environ}
    try:
        yield lambda: _measure(bench, bench.settings_of(Ease))
    finally:
        os.environ.update(kept)


def _measure(bench: Bench, settings: Ease) -> Sample:
    wiring, traces = easiest(bench), []

    @contextmanager
    def watch() -> Iterator[None]:
        with tracing() as trace:
            traces.append(trace)
            yield

    with joined(bench, Wanted(settings.memory_bytes, watch=watch), wiring) as pair:
        patience_s = min(PING_S, settings.timeout_ns / 1e9)
        if not pair.host.answering([GUEST_ADDRESS], Deadline.after(patience_s, "an echo")):
            raise GuestError("the guest does not answer to a ping", expected=f"an answer within {patience_s:g} s")
    (trace,) = traces
    return count(trace, bench.backend.preparation(), wiring)


def count(trace: Trace, before: Preparation, wiring: str) -> Sample:
    """The numbers of a trace, and of what had to be done before the first guest, where that is told."""
    prepared = len(before.packages) + len(before.commands)
    values = {
        "commands": len(trace.commands),
        "arguments": trace.arguments,
        "files": len(trace.files),
        "settings": trace.settings,
        "privileges": len(trace.privileges),
        "prepared": prepared,
        "screens": 0,
    }
    done = ("commands", "files", "settings", "privileges", "prepared")
    values["steps"] = sum(values[name] for name in done)
    raw = {**asdict(trace), "wiring": wiring, "preparation": asdict(before)}
    return Sample({name: float(value) for name, value in values.items()}, raw)
