"""Many guests with kernels of their own that come up and live for a moment, for tests that end them early.

`python -m tests.system.guest_life FOLDER MARK` is the caller; GUESTS in its environment says how many of each kind.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.guests import Guest, GuestSpec, NicSpec, backend
from hostemu.lab import call_in_lab

GUESTS = "HOSTEMU_TEST_GUESTS"
KINDS = (("uml", False), ("qemu", True))
LIFE_S = 20.0
"""How long they live when nobody ends them, counted from their start."""

PATIENCE_S = 60.0
FAMILY = ["sh", "-c", "sleep 1000 & setsid sleep 1000 & echo started; exec cat"]


def live(argument: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> str:
    """Start guests of all kinds, several at a time, and a program in each; then wait."""
    end_s = time.monotonic() + LIFE_S
    Path("/dev/shm", argument["mark"]).write_text("litter")
    with ExitStack() as stack, ThreadPoolExecutor(4) as starters:
        guests = [_create(kind, number, argument, stack) for number in range(argument["guests"]) for kind in KINDS]
        for count, _ in enumerate(starters.map(_start, guests), 1):
            emit({"guests": count})
        while time.monotonic() < end_s:
            time.sleep(0.1)
    return "lived"


def _create(kind: tuple[str, bool], number: int, argument: dict[str, Any], stack: ExitStack) -> Guest:
    name, is_copy = kind
    nic = NicSpec("eth0", f"02:00:00:00:00:{number:02x}", addresses=(f"10.0.{number}.2/24",))
    spec = GuestSpec(f"{name}-{number}", (nic,), is_copy=is_copy)
    return stack.enter_context(backend(name).create(spec, Path(argument["folder"], spec.name)))


def _start(guest: Guest) -> None:
    deadline = Deadline.after(PATIENCE_S, "a guest")
    guest.start(deadline)
    guest.wait_ready(deadline)
    guest.spawn(FAMILY).stdout.readline()


if __name__ == "__main__":
    order = {"folder": sys.argv[1], "mark": sys.argv[2], "guests": int(os.environ[GUESTS])}
    print(call_in_lab("tests.system.guest_life:live", order, on_event=lambda _event: None))
