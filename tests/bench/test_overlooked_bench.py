"""Echo requests to idle guests of User-mode Linux that are answered only when the next frame comes: with and without
what is loaded into their kernels' processes, by turns in the same run.  See hostemu/guests/preload/recheck.c.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import pytest

from hostemu.base.deadline import Deadline
from hostemu.guests import Guest, GuestSpec, NicSpec, backend
from hostemu.guests.kernel_guest import KernelGuest
from hostemu.guests.uml import UmlGuest
from hostemu.lab import call_in_lab
from tests.contract.conftest import require
from tests.contract.echo import Asker, drain, echo_reply
from tests.guests.kernels import may_build
from tests.lab.needs import needs_lab

pytestmark = [pytest.mark.bench, needs_lab, may_build]

GUESTS = 3
ROUNDS = 8
ASKING_S = 15.0
ROUND_REQUESTS = 50_000  # at most, of a guest: an echo request's number has 16 bits
PATIENCE_S, LONG_S = 0.1, 1.0
BURST, PAUSE_S = 500, 0.3
"""Pauses for both, since waiting for an answer that does not come is one."""

GATEWAY, GATEWAY_MAC = "10.0.0.1", "02:00:00:00:00:ff"


@dataclass
class Asked:
    """overlooked: not answered within LONG_S, and then with the next one."""

    requests: int = 0
    overlooked: int = 0
    answered_us: float = 0.0


def _spec(number: int) -> GuestSpec:
    nic = NicSpec(
        "eth0",
        f"02:00:00:00:00:{number:02x}",
        addresses=("10.0.0.2/24",),
        neighbours=((GATEWAY, GATEWAY_MAC),),
    )
    return GuestSpec(f"guest-{number}", (nic,), memory_bytes=16 << 20, shell=False)


def _asker(guest: Guest) -> tuple[Asker, int]:
    (nic,) = guest.spec.nics
    fd = guest.nic_fd(nic.name)
    return Asker(fd, (GATEWAY_MAC, GATEWAY), (nic.mac, "10.0.0.2")), fd


def _is_answered_late(fd: int) -> bool:
    end_s = time.monotonic() + LONG_S
    while time.monotonic() < end_s:
        time.sleep(0.01)
        if any(echo_reply(frame) is not None for frame in drain(fd)):
            return True
    return False


def _ask(guests: list[Guest]) -> Asked:
    """One guest after the other, so that each idles in between."""
    asked, took_s, askers = Asked(), [], [_asker(guest) for guest in guests]
    end_s = time.monotonic() + ASKING_S
    while time.monotonic() < end_s and asked.requests < ROUND_REQUESTS:
        for asker, fd in askers:
            began_s = time.monotonic()
            asked.requests += 1
            if asker.answers(1, PATIENCE_S):
                took_s.append(time.monotonic() - began_s)
            elif not _is_answered_late(fd):
                asked.overlooked += 1
            if asked.requests % BURST == 0:
                time.sleep(PAUSE_S)
    asked.answered_us = median(took_s) * 1e6
    return asked


def ask(argument: dict[str, Any], _emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """In the lab: guests that have the library, or not, and what they answer."""
    with ExitStack() as stack:
        if not argument["has_library"]:
            plain = KernelGuest.virtualisers_environment
            stack.enter_context(patch.object(UmlGuest, "virtualisers_environment", plain))
        guests = []
        for number in range(GUESTS):
            spec = _spec(number)
            guest = stack.enter_context(backend("uml").create(spec, Path(argument["folder"]) / spec.name))
            deadline = Deadline.after(60.0, "a guest")
            guest.start(deadline)
            guest.wait_ready(deadline)
            guests.append(guest)
        return vars(_ask(guests))


@pytest.mark.timeout(600)
def test_hardly_any_frame_is_overlooked(tmp_path: Path) -> None:
    require("uml")
    totals = {False: Asked(), True: Asked()}
    for number in range(ROUNDS):
        for has_library, total in totals.items():
            order = {"has_library": has_library, "folder": str(tmp_path / f"{number}-{has_library}")}
            found = Asked(**call_in_lab("tests.bench.test_overlooked_bench:ask", order, timeout_s=120.0))
            total.requests += found.requests
            total.overlooked += found.overlooked
            total.answered_us += found.answered_us / ROUNDS
    print()
    for has_library, total in totals.items():
        print(
            f"{'with' if has_library else 'without'} the library: {total.overlooked} of {total.requests}"
            f" echo requests overlooked until the next; others answered after {total.answered_us:.0f} us (median)"
        )
    if not totals[False].overlooked:
        pytest.skip(f"on this machine none of {totals[False].requests} is overlooked anyway")
    assert totals[True].overlooked / totals[True].requests < 0.05 * totals[False].overlooked / totals[False].requests
