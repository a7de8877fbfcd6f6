"""CPU time of single actions in a guest, as this machine sees it: of its programs, or of the whole guest.

A program (hostemu.measure.action_program) does one action again and again; what the guest used meanwhile, divided by
how often, is what it costs.
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed
from hostemu.guests.api import Guest, GuestProcess
from hostemu.measure.action_program import ACTIONS
from hostemu.measure.bench import Bench, Once, Sample, guest_nic
from hostemu.measure.definition import Actions

PROGRAM = "hostemu.measure.action_program"
LOG = "actions.log"
WARM_UP_S = 0.05
LOOK_S = 0.5
READ_BYTES = 4096


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """One guest that sees the host's files, and one program, for all repeats."""
    settings = bench.settings_of(Actions)
    spec = replace(bench.spec("guest", settings.memory_bytes, (guest_nic(),)), shares=bench.folder.resolve())
    environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    with bench.backend.create(spec, bench.folder / spec.name) as guest:
        bench.start(guest)
        log = bench.folder / LOG
        with guest.spawn([sys.executable, "-m", PROGRAM], env=environment, log=log) as program:
            doer = _Doer(guest, program)
            for name in ACTIONS:
                doer.count(name, WARM_UP_S, bench.patience("the program of actions to begin"))
            yield lambda: _measure(bench, doer, settings.each_ns / 1e9)


def _measure(bench: Bench, doer: _Doer, duration_s: float) -> Sample:
    deadline = bench.patience("the actions")
    values, raw = {}, {}
    for name in ACTIONS:
        bench.note(name.replace("_", " "))
        before_s = doer.guest.usage().cpu_s
        count = doer.count(name, duration_s, deadline)
        cpu_s = doer.guest.usage().cpu_s - before_s
        values[f"{name}_ns"] = cpu_s * 1e9 / count
        raw[name] = {"count": count, "cpu_s": cpu_s}
    return Sample(values, raw)


class _Doer:
    """The program in its guest."""

    def __init__(self, guest: Guest, program: GuestProcess) -> None:
        self.guest = guest
        self._program = program
        self._partial = b""

    def count(self, action: str, seconds: float, deadline: Deadline) -> int:
        """How often it does an action in so much time; CommandFailed when it has ended."""
        self._program.stdin.write(f"{action} {seconds}\n".encode())
        self._program.stdin.flush()
        return int(self._line(deadline))

    def _line(self, deadline: Deadline) -> bytes:
        """What it says next."""
        output = self._program.stdout.fileno()
        poller = select.poll()
        poller.register(output, select.POLLIN)
        while b"\n" not in self._partial:
            deadline.check()
            if poller.poll(min(LOOK_S, deadline.left_s()) * 1000):
                data = os.read(output, READ_BYTES)
                if not data:
                    raise CommandFailed("the program of actions has ended", found=f"status {self._program.poll()}")
                self._partial += data
        line, _, self._partial = self._partial.partition(b"\n")
        return line
