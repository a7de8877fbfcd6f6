"""The programs of a run, seen from the runner: started in guests, told what to do by JSON lines, and listened to."""

from __future__ import annotations

import json
import os
import selectors
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.base.errors import GuestError
from hostemu.guests.api import Guest, GuestProcess

FARM_PATH = "/bin/terminals"
"""Where guests without Python have the farm program."""

NATIVE = {"hostemu.retrieval.terminals": FARM_PATH}
"""The programs that exist in C, too, by their Python module."""

READ_BYTES = 1 << 16

Event = dict[str, Any]


class Program:
    """One running program: `events` holds the last line of each kind that it has sent."""

    def __init__(self, name: str, guest: Guest, process: GuestProcess, log: Path) -> None:
        self.name = name
        self.guest = guest
        self.process = process
        self.log = log
        self.events: dict[str, Event] = {}
        self._partial = b""

    def send(self, message: Event) -> None:
        """Hand one line to the program; GuestError when it is gone."""
        try:
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()
        except OSError as error:
            raise self.died() from error

    def read(self) -> list[Event] | None:
        """The lines that have come in; None at the end of the stream."""
        data = os.read(self.process.stdout.fileno(), READ_BYTES)
        if not data:
            return None
        *lines, self._partial = (self._partial + data).split(b"\n")
        events: list[Event] = [json.loads(line) for line in lines if line]
        self.events.update((event["event"], event) for event in events)
        return events

    def died(self) -> GuestError:
        """The error that says that this program ended too early."""
        tail = self.log.read_text(errors="replace").strip().splitlines()[-3:] if self.log.exists() else []
        said = self.events.get("error", {}).get("message")
        return GuestError(
            f"program {self.name} ended before the run was over",
            expected="a running program",
            found=said or " | ".join(tail) or "no message from it",
            log=self.log,
        )


class ProgramGroup:
    """All programs of a run; a context manager that stops every one of them.

    pass_time: lets so many seconds pass, where time does not pass by itself.
    """

    def __init__(self, workdir: Path, pass_time: Callable[[float], None] | None = None) -> None:
        self.programs: list[Program] = []
        self._pass_time = pass_time
        self._workdir = workdir
        self._stack = ExitStack()
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> ProgramGroup:
        self._workdir.mkdir(exist_ok=True)
        self._stack.enter_context(self._selector)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def start(self, name: str, guest: Guest, module: str, config: str) -> Program:
        """Start `python -m module CONFIG` in the guest; its standard error goes to a log file.

        In a guest that does not see this machine's files, it is the program of NATIVE instead.
        """
        config_path = self._workdir / f"{name}.json"
        config_path.write_text(config)
        log = self._workdir / f"{name}.log"
        if guest.sees_host_files:
            argv = [sys.executable, "-m", module, str(config_path)]
        else:
            guest.put(config_path, config_path.name)
            argv = [NATIVE[module], config_path.name]
        environment = {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
        process = self._stack.enter_context(guest.spawn(argv, env=environment, log=log))
        program = Program(name, guest, process, log)
        self.programs.append(program)
        self._selector.register(process.stdout.fileno(), selectors.EVENT_READ, program)
        return program

    def poll(self, timeout_s: float) -> Iterator[tuple[Program, Event]]:
        """What programs have said within `timeout_s`; GuestError when one has ended."""
        for key, _ in self._select(timeout_s):
            program: Program = key.data
            events = program.read()
            if events is None:
                raise program.died()
            for event in events:
                yield program, event

    def _select(self, timeout_s: float) -> list[tuple[selectors.SelectorKey, int]]:
        """The programs that have said something within `timeout_s`."""
        if self._pass_time is None:
            return self._selector.select(timeout_s)
        self._pass_time(timeout_s)
        return sorted(self._selector.select(0), key=lambda found: found[0].fd)

    def wait_for(self, kind: str, programs: Iterable[Program], deadline: Deadline) -> None:
        """Wait until each of `programs` has sent an event of this kind."""
        missing = [program for program in programs if kind not in program.events]
        while missing:
            deadline.check()
            for _ in self.poll(min(0.1, deadline.left_s())):
                pass
            missing = [program for program in missing if kind not in program.events]

    def send_start(self, at_ns: int, offsets_ns: Mapping[str, int]) -> None:
        """Tell every program the instant of time 0, of our monotonic clock.  offsets_ns: of the guests' clocks."""
        for program in self.programs:
            program.send({"do": "start", "at_ns": at_ns + offsets_ns[program.guest.spec.name]})

    def collect(self, kind: str, deadline: Deadline) -> dict[str, Event]:
        """Close every program's input and gather its last event of this kind, by program name."""
        for program in self.programs:
            program.process.stdin.close()
        open_programs = set(self.programs)
        while open_programs and deadline.left_s():
            for key, _ in self._select(min(0.1, deadline.left_s())):
                if key.data.read() is None:
                    self._selector.unregister(key.fd)
                    open_programs.discard(key.data)
        return {program.name: program.events[kind] for program in self.programs if kind in program.events}
