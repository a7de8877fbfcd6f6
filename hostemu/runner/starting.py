"""Starts the guests of a run, those with a kernel of their own a few at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.guests import Backend
from hostemu.guests.api import Guest, GuestSpec
from hostemu.lab import NetNamespace

READY_S = 60.0
STARTS_PER_CORE = 2
"""A guest that boots keeps a core busy, and waits in between."""


@dataclass(frozen=True)
class GuestPlan:
    """A host's guest that is to be made: of which backend, what it is, and where its wires lead.

    site: gives that namespace; it is handed the guests of this kernel that were planned before this one, running.
    """

    backend: Backend
    spec: GuestSpec
    site: Callable[[Mapping[str, Guest]], NetNamespace] | None = None


def start_guests(
    plans: Mapping[str, GuestPlan], workdir: Path, stack: ExitStack, on_started: Callable[[int], None]
) -> dict[str, Guest]:
    """Every planned host as a running guest, by name; `stack` stops them.  on_started: told how many there are.

    Guests of this kernel start first, in order.
    """
    quick = {name: plan for name, plan in plans.items() if not plan.backend.has_own_kernel}
    slow = {name: plan for name, plan in plans.items() if plan.backend.has_own_kernel}
    guests: dict[str, Guest] = {}
    stack.callback(_stop_all, guests)
    for name, plan in quick.items():
        guests[name] = _create(plan, workdir, guests)
        _start(guests[name])
        on_started(len(guests))
    for name, plan in slow.items():
        guests[name] = _create(plan, workdir, guests)
    with _pool() as starters:
        started = [starters.submit(_start, guests[name]) for name in slow]
        try:
            for number, future in enumerate(as_completed(started), 1):
                future.result()
                on_started(len(quick) + number)
        except BaseException:
            starters.shutdown(wait=True, cancel_futures=True)
            raise
    return guests


def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(STARTS_PER_CORE * len(os.sched_getaffinity(0)), "starter")


def _stop_all(guests: Mapping[str, Guest]) -> None:
    """Those with a kernel of their own first: their wires may lead to others."""
    with _pool() as stoppers:
        list(stoppers.map(_stop, list(guests.values())[::-1]))


def _stop(guest: Guest) -> None:
    guest.stop()


def _create(plan: GuestPlan, workdir: Path, running: Mapping[str, Guest]) -> Guest:
    site = None if plan.site is None else plan.site(running)
    return plan.backend.create(plan.spec, workdir / plan.spec.name, site)


def _start(guest: Guest) -> None:
    guest.start(Deadline.after(READY_S, f"guest {guest.spec.name} to start"))
    guest.wait_ready(Deadline.after(READY_S, f"an answer from guest {guest.spec.name}"))
