"""Starts the real programs on loopback, talks JSON lines with them, and makes their configurations."""

from __future__ import annotations

import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from itertools import count
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.protocol.power import Phase, PowerSettings
from hostemu.protocol.retriever import RetryPolicy
from hostemu.retrieval.config import (
    Authentication,
    CenterConfig,
    Config,
    FarmConfig,
    IspAssignment,
    IspConfig,
    TerminalRange,
    Transport,
    WhenOff,
)
from hostemu.retrieval.store import Store, StoredOutcome
from tests.retrieval.builds import farm_checked, farm_for_users

MS = 1_000_000
S = 1_000_000_000
PORT = 5000
SHARED_SECRET = b"the shared secret"
OWN_SECRET = b"the own secret"
RUN_ID = "test run"
PATIENCE_S = 30.0

NATIVE: dict[str, Callable[[], Path]] = {"terminals-c": farm_for_users, "terminals-c-checked": farm_checked}
FARMS = ("terminals", *NATIVE)
"""The implementations of the farm: in Python, in C, and that in C under sanitizers."""

ALWAYS_ON = PowerSettings(on_ns=3600 * S, off_min_ns=S, off_max_ns=S, redraw=False, phase=Phase.ON)
ALWAYS_OFF = PowerSettings(on_ns=S, off_min_ns=3600 * S, off_max_ns=3600 * S, redraw=False, phase=Phase.OFF)
BLINKING = PowerSettings(on_ns=300 * MS, off_min_ns=200 * MS, off_max_ns=400 * MS, redraw=True, phase=Phase.RANDOM)

_blocks = count()


def loopback_block() -> str:
    """The first of 254 loopback addresses that no other test of this or a parallel test process uses."""
    return f"127.{64 + os.getpid() % 128}.{os.getpid() // 128 % 16 * 16 + next(_blocks) % 16}.1"


def command_of(module: str) -> list[str]:
    """How a program is started; skips what this machine cannot compile."""
    make = NATIVE.get(module)
    return [sys.executable, "-m", f"hostemu.retrieval.{module}"] if make is None else [str(make())]


class Program:
    """A running program and the events that it has sent."""

    def __init__(self, module: str, config_path: Path) -> None:
        pipe = subprocess.PIPE
        argv = [*command_of(module), str(config_path)]
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe)
        self.events: list[dict[str, Any]] = []
        self._partial = b""

    @property
    def pid(self) -> int:
        return self.process.pid

    def send(self, message: dict[str, Any]) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()

    def start(self, at_ns: int | None = None) -> None:
        self.send({"do": "start", "at_ns": time.monotonic_ns() if at_ns is None else at_ns})

    def wait_for(self, kind: str, timeout_s: float = PATIENCE_S) -> dict[str, Any]:
        """The first event of this kind that has not been waited for yet."""
        deadline = Deadline.after(timeout_s, f"event {kind!r}; so far: {self.events}")
        while True:
            for event in self.events:
                if event["event"] == kind:
                    self.events.remove(event)
                    return event
            if not self._read(deadline):
                raise AssertionError(f"ended before event {kind!r}: {self.events} {self.error_text()}")

    def report(self) -> dict[str, Any]:
        self.send({"do": "report"})
        return self.wait_for("report")

    def close_input(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def stop(self) -> dict[str, Any]:
        """Close the program's input; its result.  The program must then end with exit code 0."""
        self.close_input()
        result = self.wait_for("result")
        assert self.wait() == 0, self.error_text()
        return result

    def wait(self, timeout_s: float = PATIENCE_S) -> int:
        """The exit code."""
        return self.process.wait(timeout_s)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def error_text(self) -> str:
        """What it wrote to stderr until it ended."""
        assert self.process.stderr is not None
        return self.process.stderr.read().decode() if self.process.poll() is not None else ""

    def open_files(self) -> int:
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def _read(self, deadline: Deadline) -> bool:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while not selector.select(deadline.left_s()):
                deadline.check()
        data = os.read(self.process.stdout.fileno(), 1 << 16)
        *lines, self._partial = (self._partial + data).split(b"\n")
        self.events += [json.loads(line) for line in lines]
        return bool(data)


@contextmanager
def running(module: str, config: Config | str, folder: Path) -> Iterator[Program]:
    """A program with this configuration; killed at the end if it still runs."""
    number = len(list(folder.glob("*.json")))
    path = folder / f"{module}-{number}.json"
    path.write_text(config if isinstance(config, str) else config.to_json())
    program = Program(module, path)
    try:
        yield program
    finally:
        if program.process.poll() is None:
            program.kill()
        for pipe in (program.process.stdin, program.process.stdout, program.process.stderr):
            assert pipe is not None
            try:
                pipe.close()
            except BrokenPipeError:
                continue


def farm_config(address: str, terminals: int, **changes: Any) -> FarmConfig:
    settings: dict[str, Any] = {
        "seed": 7,
        "first_index": 0,
        "count": terminals,
        "first_device_id": 1,
        "first_address": address,
        "port": PORT,
        "transport": Transport.TCP,
        "authentication": Authentication.HMAC_SHA256,
        "shared_secret": SHARED_SECRET,
        "own_secret": OWN_SECRET,
        "information_bytes": 200,
        "power": ALWAYS_ON,
        "when_off": WhenOff.REFUSE,
    }
    return FarmConfig(**{**settings, **changes})


def isp_config(**changes: Any) -> IspConfig:
    settings: dict[str, Any] = {
        "address": "127.0.0.1",
        "port": 0,
        "transport": Transport.TCP,
        "authentication": Authentication.HMAC_SHA256,
        "shared_secret": SHARED_SECRET,
        "list_size": 1500,
        "concurrency": 50,
        "retry": RetryPolicy(interval_ns=100 * MS, max_attempts=60, keeps_slot=True),
        "connect_timeout_ns": 500 * MS,
        "answer_timeout_ns": S,
    }
    return IspConfig(**{**settings, **changes})


def span(address: str, terminals: int, first: int = 0, port: int = PORT) -> TerminalRange:
    """Terminals first … first + terminals − 1 of the block that begins at `address`."""
    return TerminalRange(1 + first, str(ip_address(address) + first), port, terminals)


def free_port(host: str = "127.0.0.1") -> int:
    """A port on which nothing listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        return int(listener.getsockname()[1])


def center_config(folder: Path, *isps: IspAssignment, **changes: Any) -> CenterConfig:
    settings: dict[str, Any] = {
        "own_secret": OWN_SECRET,
        "authentication": Authentication.HMAC_SHA256,
        "run_id": RUN_ID,
        "deadline_ns": 60 * S,
        "isps": isps,
        "database": database_url(folder),
    }
    return CenterConfig(**{**settings, **changes})


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'store.sqlite'}"


@dataclass
class Chain:
    """Farm, ISP servers and center of one run, all ready."""

    farm: Program
    isps: list[Program]
    center: Program
    folder: Path

    def start(self) -> None:
        at_ns = time.monotonic_ns() + 50 * MS
        for program in (self.farm, *self.isps, self.center):
            program.start(at_ns)

    def outcomes(self) -> list[StoredOutcome]:
        with Store(database_url(self.folder)) as store:
            return store.outcomes(RUN_ID)

    def information(self, device_id: int) -> bytes | None:
        with Store(database_url(self.folder)) as store:
            return store.information(RUN_ID, device_id)


@contextmanager
def chain(
    folder: Path,
    farm: FarmConfig,
    isp: IspConfig,
    *,
    lists: int = 1,
    center: dict[str, Any] | None = None,
    terminals: str = "terminals",
) -> Iterator[Chain]:
    """A farm whose terminals are dealt out in `lists` equal lists, each to an ISP server program of its own."""
    with ExitStack() as stack:
        farm_program = stack.enter_context(running(terminals, farm, folder))
        isps = [stack.enter_context(running("isp_server", isp, folder)) for _ in range(lists)]
        share = farm.count // lists
        spans = [span(farm.first_address, share, number * share, farm.port) for number in range(lists)]
        assignments = [
            IspAssignment("127.0.0.1", program.wait_for("ready")["port"], (its_span,))
            for program, its_span in zip(isps, spans, strict=True)
        ]
        settings = {"authentication": isp.authentication, **(center or {})}
        config = center_config(folder, *assignments, **settings)
        center_program = stack.enter_context(running("center", config, folder))
        farm_program.wait_for("ready")
        center_program.wait_for("ready")
        yield Chain(farm_program, isps, center_program, folder)
