"""A thousand guests: how long until they are up, and until the lab with them is gone, against bare namespaces."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.deadline import Deadline
from hostemu.guests import GuestSpec, NicSpec, backend
from hostemu.lab import call_in_lab, nic_kind
from tests.lab.needs import needs_lab

pytestmark = [pytest.mark.bench, needs_lab]

GUESTS = 1000
CLONE_NEWNET = 0x40000000  # linux/sched.h
UP_S, GONE_S = 5.0, 2.0
"""What a thousand guests may take on a machine that does nothing else."""


def _spec(number: int) -> GuestSpec:
    net = f"10.{number >> 8}.{number & 255}"
    gateway = f"{net}.1"
    nic = NicSpec(
        name="eth0",
        mac=f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}",
        addresses=(f"{net}.2/30",),
        routes=(("0.0.0.0/0", gateway),),
        local_prefixes=(f"10.128.{number >> 8}.{number & 255}/32",),
        neighbours=((gateway, "02:01:00:00:00:01"),),
    )
    return GuestSpec(f"guest-{number}", (nic,))


def guests(folder: str, _emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """In the lab: start them all; the lab's end is theirs."""
    deadline, netns = Deadline.after(100, "guests"), backend("netns")
    began_s = time.monotonic()
    made = [netns.create(_spec(number), Path(folder, str(number))) for number in range(GUESTS)]
    for guest in made:
        guest.start(deadline)
    for guest in made:
        guest.wait_ready(deadline)
    return {"up_s": time.monotonic() - began_s, "ended_at_s": time.monotonic(), "kind": nic_kind()}


def bare_namespaces(_argument: Any, _emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """In the lab: as many namespaces, with nothing in them."""
    libc = ctypes.CDLL(None)
    with ExitStack() as stack:

        def make() -> None:
            libc.unshare(CLONE_NEWNET)
            fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            stack.callback(os.close, fd)

        began_s = time.monotonic()
        for _ in range(GUESTS):
            thread = threading.Thread(target=make)
            thread.start()
            thread.join()
        up_s = time.monotonic() - began_s
        stack.pop_all()
        return {"up_s": up_s, "ended_at_s": time.monotonic()}


def _timed(function: str, argument: Any) -> dict[str, Any]:
    times: dict[str, Any] = call_in_lab(f"tests.bench.test_guests_bench:{function}", argument, timeout_s=120)
    times["gone_s"] = time.monotonic() - times["ended_at_s"]
    return times


def test_a_thousand_guests_are_up_and_gone(tmp_path: Path) -> None:
    bare = _timed("bare_namespaces", None)
    seen = _timed("guests", str(tmp_path))
    print(
        f"\n{GUESTS} {seen['kind']} guests: up in {seen['up_s']:.2f} s (wanted: {UP_S:g}), "
        f"lab gone in {seen['gone_s']:.2f} s (wanted: {GONE_S:g})\n"
        f"{GUESTS} bare namespaces: made in {bare['up_s']:.2f} s, lab gone in {bare['gone_s']:.2f} s; "
        f"guests / bare: {seen['up_s'] / bare['up_s']:.1f}"
    )
    assert len(list(tmp_path.iterdir())) == GUESTS
