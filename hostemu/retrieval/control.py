"""The conversation with whoever started the program: JSON lines on stdin and stdout.

stdout  {"event": "ready", …}                       listening, bound, connected to the store
stdin   {"do": "start", "at_ns": 123}               time 0 of the run, on the monotonic clock
stdin   {"do": "report"}  → stdout {"event": "report", …}
stdin's end, SIGTERM or SIGINT  → stdout {"event": "result", …}, exit code 0
a failure → stdout {"event": "error", …}, a message on stderr, the error's exit code
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from hostemu.base.errors import HostemuError, InputError
from hostemu.retrieval.console import Console, Fields
from hostemu.retrieval.reactor import Reactor
from hostemu.retrieval.sockets import raise_file_limit

Emit = Callable[[str, Mapping[str, Any]], None]


class Service(Protocol):
    """What a program does; a context manager that closes all its sockets."""

    def ready(self) -> Fields:
        """Fields of the event "ready"."""

    def start(self, at_ns: int) -> None:
        """The run's time 0 is `at_ns` on the monotonic clock."""

    def counters(self) -> Fields:
        """Fields of the events "report" and "result"."""

    def stopping(self) -> None:
        """The last counters are about to be asked for."""


Factory = Callable[[str, str, Reactor, Emit], AbstractContextManager[Service]]
"""(text and name of the configuration file, reactor, emit) → the service."""


class Usage:
    """What the program has used since the run's time 0 (before it: since it was ready)."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._cpu_base_ns = time.process_time_ns()

    def restart(self) -> None:
        """Count from here."""
        self._cpu_base_ns = time.process_time_ns()

    def fields(self) -> Fields:
        """CPU time (ns), lateness of timers (ns), peak resident memory (bytes)."""
        lateness = self._reactor.lateness
        return {
            "cpu_ns": time.process_time_ns() - self._cpu_base_ns,
            "max_lag_ns": lateness.max_ns,
            "p99_lag_ns": lateness.quantile_ns(0.99),
            "timers": lateness.count,
            "maxrss_bytes": peak_rss_bytes(),
        }


def peak_rss_bytes() -> int:
    """Most memory that was resident at a time.  Not getrusage's, which includes the parent's from before exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024


class Conductor:
    """Brings console and service together."""

    def __init__(self, reactor: Reactor) -> None:
        self._reactor = reactor
        self._service: Service | None = None
        self._usage = Usage(reactor)
        self.console = Console(reactor, self._obey)

    def conduct(self, make: Factory, text: str, file: str) -> int:
        """Make the service and run it; returns the exit code."""
        try:
            with make(text, file, self._reactor, self.console.emit) as service:
                self._run(service)
        except HostemuError as error:
            self.console.emit("error", {"kind": type(error).__name__, "message": str(error)})
            print(error, file=sys.stderr)
            return error.exit_code
        return 0

    def _run(self, service: Service) -> None:
        self._service = service
        self.console.emit("ready", {"pid": os.getpid(), **service.ready()})
        self.console.listen()
        self._reactor.run()
        service.stopping()
        self._tell("result")

    def _tell(self, event: str) -> None:
        if self._service is not None:
            self.console.emit(event, {**self._service.counters(), **self._usage.fields()})

    def _obey(self, command: Fields) -> None:
        match command:
            case {"do": "start", "at_ns": int(at_ns)} if self._service is not None:
                self._usage.restart()
                self._service.start(at_ns)
            case {"do": "report"}:
                self._tell("report")
            case _:
                print(f"unknown command: {command}", file=sys.stderr)


def read_text(path: str) -> str:
    """The text of a configuration file; InputError when it cannot be read."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the configuration {path}", found=str(error)) from error


def run_program(description: str, make: Factory, argv: list[str] | None = None) -> int:
    """The main function of every program; returns the exit code."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("config", help="configuration file (JSON)")
    path: str = parser.parse_args(argv).config
    try:
        text = read_text(path)
    except InputError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    raise_file_limit()
    with Reactor() as reactor:
        conductor = Conductor(reactor)
        with conductor.console:
            return conductor.conduct(make, text, path)
