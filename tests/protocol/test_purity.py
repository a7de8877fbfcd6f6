"""The protocol core neither talks to the system nor looks at the clock, whatever it is asked to do."""

from __future__ import annotations

import pkgutil
import random
import secrets
import subprocess
import sys
import time
from pathlib import Path

import pytest

import hostemu.protocol
from tests.protocol.builders import DATAGRAM, HMAC, STREAM, isp, talk, terminal

MODULES = [f"hostemu.protocol.{found.name}" for found in pkgutil.iter_modules(hostemu.protocol.__path__)]

IMPURE = {
    "_asyncio",
    "_multiprocessing",
    "_random",
    "_select",
    "_socket",
    "asyncio",
    "concurrent",
    "ctypes",
    "multiprocessing",
    "numpy",
    "random",
    "secrets",
    "select",
    "selectors",
    "signal",
    "socket",
    "ssl",
    "subprocess",
    "tempfile",
    "threading",
}

IMPORT_ALL = f"import sys, {', '.join(MODULES)}; print(*sorted(sys.modules), sep='\\n')"


ROOT = Path(hostemu.protocol.__file__).parents[2]


def loaded_by(code: str) -> set[str]:
    """The modules of an interpreter, without site packages of its own doing, that has run `code`."""
    command = [sys.executable, "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=ROOT)
    return set(done.stdout.split())


def test_all_modules_of_the_protocol_are_looked_at() -> None:
    assert {"auth", "command", "exchange", "power", "retriever", "terminal", "wire"} <= {
        name.rsplit(".")[-1] for name in MODULES
    }
    assert set(MODULES) <= loaded_by(IMPORT_ALL)


def test_importing_the_protocol_loads_nothing_that_does_io_waits_or_draws() -> None:
    assert loaded_by(IMPORT_ALL) & IMPURE == set()


def test_the_check_would_see_an_impure_import() -> None:
    assert {"socket", "_socket", "selectors"} <= loaded_by(f"import socket; {IMPORT_ALL}") & IMPURE


def test_an_exchange_asks_neither_clock_nor_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("impure")

    for module, names in (
        (time, ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")),
        (random, ("random", "randbytes", "getrandbits")),
        (secrets, ("token_bytes",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, forbidden)
    for settings in (STREAM, DATAGRAM):
        first, second = (talk(isp(HMAC, settings=settings), terminal(HMAC)) for _ in range(2))
        assert first == second
        assert len(first.messages) == 4
