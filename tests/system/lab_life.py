"""A short life of a lab with guests and programs, for tests that end it early.

`python -m tests.system.lab_life FOLDER MARK` is the caller.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.guests import Guest, GuestSpec, NicSpec, backend
from hostemu.lab import call_in_lab

GUESTS = 5
COMMANDS = 4
FAMILY = ["sh", "-c", "sleep 1000 & setsid sleep 1000 & echo started; exec cat"]


def _spec(number: int) -> GuestSpec:
    nic = NicSpec(
        name="eth0",
        mac=f"02:00:00:00:00:{number:02x}",
        addresses=(f"10.0.{number}.2/24",),
        routes=(("0.0.0.0/0", f"10.0.{number}.1"),),
        local_prefixes=(f"10.9.{number}.0/24",),
    )
    return GuestSpec(f"guest-{number}", (nic,))


def live(argument: dict[str, Any], emit: Callable[[dict[str, Any]], None]) -> str:
    """Start guests and programs, use them for a moment, stop."""
    Path("/dev/shm", argument["mark"]).write_text("litter")
    with ExitStack() as stack:
        guests = [_start(number, Path(argument["folder"]), stack) for number in range(GUESTS)]
        emit({"guests": len(guests)})
        for guest in guests:
            stack.enter_context(guest.spawn(FAMILY)).stdout.readline()
        for guest in guests[:COMMANDS]:
            guest.run(["sleep", "0.05"], deadline=Deadline.after(10, "a nap"))
    return "lived"


def _start(number: int, folder: Path, stack: ExitStack) -> Guest:
    deadline = Deadline.after(10, "a guest")
    guest = backend("netns").create(_spec(number), folder / str(number))
    stack.enter_context(guest)
    guest.start(deadline)
    guest.wait_ready(deadline)
    return guest


if __name__ == "__main__":
    order = {"folder": sys.argv[1], "mark": sys.argv[2]}
    print(call_in_lab("tests.system.lab_life:live", order, on_event=lambda _event: None))
