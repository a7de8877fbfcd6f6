"""Hundreds of guests with kernels of their own: how long they take to start and to stop, in how much memory.

They have the image that terminal guests of a run have: the farm program, and no shell.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.deadline import Deadline
from hostemu.guests import Guest, GuestSpec, NicSpec, backend
from hostemu.lab import call_in_lab
from hostemu.measure.memory_count import Counter, available_bytes
from hostemu.retrieval.native import farm_program
from hostemu.runner.programs import FARM_PATH
from tests.contract.conftest import require
from tests.contract.echo import Asker
from tests.contract.real import host_cpu_s
from tests.guests.kernels import may_build
from tests.lab.needs import needs_lab

pytestmark = [pytest.mark.bench, needs_lab, may_build]

STARTS_PER_CORE = 2
PATIENCE_S = 120.0
IDLE_S = 5.0
GATEWAY_MAC = "02:01:00:00:00:01"
MB = 1e6


@dataclass(frozen=True)
class Wanted:
    """How many guests of a kind, with how much memory; what one may take of the machine's time and memory at most."""

    backend: str
    is_copy: bool
    guests: int
    memory_bytes: int
    start_s: float
    taken_mb: float


CROWDS = {
    "uml 16 MB": Wanted("uml", False, 300, 16 << 20, 0.5, 9.0),
    "uml 32 MB": Wanted("uml", False, 300, 32 << 20, 0.5, 9.0),
    "qemu copies 32 MB": Wanted("qemu", True, 150, 32 << 20, 1.0, 20.0),
}


def _spec(number: int, argument: dict[str, Any]) -> GuestSpec:
    net = f"10.{number >> 8}.{number & 255}"
    nic = NicSpec(
        "eth0",
        f"02:00:00:00:{number >> 8:02x}:{number & 255:02x}",
        addresses=(f"{net}.2/30",),
        routes=(("0.0.0.0/0", f"{net}.1"),),
        neighbours=((f"{net}.1", GATEWAY_MAC),),
    )
    return GuestSpec(
        f"guest-{number}",
        (nic,),
        memory_bytes=argument["memory_bytes"],
        is_copy=argument["is_copy"],
        shell=False,
        files={FARM_PATH: farm_program()},
    )


def _start(guest: Guest) -> float:
    """How long it took."""
    began_s = time.monotonic()
    deadline = Deadline.after(PATIENCE_S, "a guest")
    guest.start(deadline)
    guest.wait_ready(deadline)
    return time.monotonic() - began_s


def _answers(guest: Guest) -> bool:
    """Whether it answers an echo request within a second."""
    (nic,) = guest.spec.nics
    address = nic.addresses[0].partition("/")[0]
    gateway = (GATEWAY_MAC, nic.neighbours[0][0])
    return Asker(guest.nic_fd(nic.name), gateway, (nic.mac, address)).answers(1, 1.0) == 1


@contextmanager
def _timed(times: dict[str, float], name: str) -> Iterator[None]:
    began_s, began_cpu_s = time.monotonic(), sum(os.times()[:2])
    yield
    times[f"{name}_s"] = time.monotonic() - began_s
    times[f"{name}_own_cpu_s"] = sum(os.times()[:2]) - began_cpu_s


def crowd(argument: dict[str, Any], _emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """In the lab: start them, several at a time; ask each; count their memory; let them idle; stop them."""
    kind, folder = backend(argument["backend"]), Path(argument["folder"])
    specs = [_spec(number, argument) for number in range(argument["guests"])]
    found: dict[str, Any] = {}
    pool = ThreadPoolExecutor(STARTS_PER_CORE * len(os.sched_getaffinity(0)))
    with ExitStack() as stack, pool:
        guests = [stack.enter_context(kind.create(spec, folder / spec.name)) for spec in specs]
        before = available_bytes()
        with _timed(found, "start"):
            found["each_s"] = sorted(pool.map(_start, guests))
        with _timed(found, "answer"):
            found["answering"] = sum(map(_answers, guests))
        found["available_mb"] = (before - available_bytes()) / MB
        counter = Counter()
        for guest in guests:
            counter.add(guest.host_pids())
        total = counter.total
        found["taken_mb"] = {
            name: getattr(total, name) / MB for name in ("total", "private", "shared", "tmpfs", "page_tables")
        }
        found["processes"] = total.processes
        used_s = sum(map(host_cpu_s, guests))
        time.sleep(IDLE_S)
        found["idle_cpu"] = (sum(map(host_cpu_s, guests)) - used_s) / IDLE_S
        with _timed(found, "stop"):
            list(pool.map(lambda guest: guest.stop(), guests))
    return found


@pytest.mark.parametrize("name", CROWDS)
@pytest.mark.timeout(1200)
def test_a_crowd_of_guests_starts_and_answers_in_little_memory(name: str, tmp_path: Path) -> None:
    wanted = CROWDS[name]
    require(wanted.backend)
    order = {**vars(wanted), "folder": str(tmp_path)}
    seen = call_in_lab("tests.bench.test_kernel_guests_bench:crowd", order, timeout_s=1000)
    count, taken = wanted.guests, {part: total / wanted.guests for part, total in seen["taken_mb"].items()}
    each_s = seen["each_s"]
    print(
        f"\n{count} x {name}: {seen['answering']} answer; up in {seen['start_s']:.1f} s,"
        f" {seen['start_s'] / count:.3f} s each (wanted: {wanted.start_s:g}),"
        f" of which {seen['start_own_cpu_s'] / count * 1e3:.1f} ms of Python;"
        f" one takes {each_s[count // 2]:.2f} s (median), {each_s[-1]:.2f} s (longest)\n"
        f"{count} x {name}: {taken['total']:.2f} MB each (wanted: {wanted.taken_mb:g}):"
        f" private {taken['private']:.2f},"
        f" shared {taken['shared']:.2f}, RAM and other files of memory {taken['tmpfs']:.2f},"
        f" page tables {taken['page_tables']:.2f}; {seen['available_mb'] / count:.2f} MB less available;"
        f" {seen['processes'] / count:.1f} processes each\n"
        f"{count} x {name}: idle they keep {seen['idle_cpu'] * 100:.1f} % of a core busy; stopped in"
        f" {seen['stop_s']:.1f} s, {seen['stop_own_cpu_s'] / count * 1e3:.1f} ms of Python each"
    )
    assert seen["answering"] == count
    assert taken["total"] <= wanted.taken_mb
