"""The compiled engine: two million terminals on one core, and time per terminal beside SimPy and salabim."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from hostemu.records import TERMINAL
from hostemu.scenario import load_scenario
from hostemu.sim import simulate, simulate_fleet
from tests.bench.plain_models import Plain, plain_salabim, plain_simpy

pytestmark = pytest.mark.bench

FLEET = ["retrieval.list_size=200000", "retrieval.concurrency=20000"]
"""Ten ISP servers of 200,000 terminals, as the thesis assumes; each is in contact with a tenth of them."""

OVERHEAD_S = 0.02
"""What a run takes however small it is."""

BASE_MB = 300.0
"""What a run needs without rows: Python and its libraries, mostly."""

CHILD = """
import json, os, resource, sys, time
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
from hostemu.scenario import load_scenario
from hostemu.sim import simulate_fleet
settings = sys.argv[2:]
small = load_scenario("thesis-uml", [*settings, "fleet.terminals=200000"])
simulate_fleet(small, rows=True), simulate_fleet(small, rows=False)
plan = load_scenario("thesis-uml", settings)
began_s, began_cpu_s = time.perf_counter(), time.process_time()
record = simulate_fleet(plan)
took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - began_cpu_s
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6 * 1024
print(json.dumps({"took_s": took_s, "cpu_s": cpu_s, "peak_mb": peak, "rows": len(record.terminals),
                  "done": int((record.terminals["outcome"] > 0).sum() or record.tally["terminals"].sum())}))
"""


def timed(cores: int, terminals: int, *settings: str) -> dict[str, Any]:
    """Time and memory of a fleet, in a process and on cores of its own, after compilation; prints them."""
    order = [str(cores), f"fleet.terminals={terminals}", *settings]
    done = subprocess.run([sys.executable, "-c", CHILD, *order], capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["done"] == terminals
    each_ns = found["cpu_s"] / terminals * 1e9
    print(
        f"{terminals:>13,} terminals, cores {cores}: {found['took_s']:8.3f} s, CPU {each_ns:4.0f} ns per terminal, "
        f"{found['peak_mb']:4.0f} MB at most, {'a row each' if found['rows'] else 'a tally'} {' '.join(settings)}"
    )
    return found | {"each_ns": each_ns}


def test_two_million_terminals_on_one_core() -> None:
    print()
    found = timed(1, 2_000_000, *FLEET)
    assert found["rows"] == 2_000_000
    assert found["took_s"] <= 1.5
    assert found["peak_mb"] <= 600


def test_time_and_memory_grow_with_the_fleet_and_no_faster() -> None:
    print()
    found = {n: timed(1, n) for n in (10**4, 10**5, 10**6, 10**7, 10**8)}
    least_ns = min(figures["each_ns"] for figures in found.values())
    for n, figures in found.items():
        overhead_ns = OVERHEAD_S / n * 1e9
        assert figures["each_ns"] <= 2 * least_ns + overhead_ns, n
        assert figures["peak_mb"] <= BASE_MB + figures["rows"] * TERMINAL.itemsize / 1e6, n


@pytest.mark.timeout(1200)
def test_a_billion_terminals_on_two_cores() -> None:
    print()
    found = timed(2, 10**9)
    assert found["took_s"] <= 15 * 60
    assert found["peak_mb"] <= 4000


@pytest.mark.parametrize(
    "settings", [("retrieval.transport=udp",), ("lines.terminals.loss=0.02",), ("power.off_draw=per-cycle",)]
)
def test_what_is_not_worked_out_in_one_go_takes_longer(settings: tuple[str, ...]) -> None:
    print()
    assert timed(1, 10**6, *settings)["each_ns"] <= 50_000


def per_terminal_s(play: Callable[[], object], terminals: int) -> float:
    began_s = time.perf_counter()
    play()
    return (time.perf_counter() - began_s) / terminals


def test_time_per_terminal_beside_plain_simpy_and_salabim() -> None:
    plan = load_scenario("thesis-uml", ["fleet.terminals=20000"])
    simulate_fleet(plan)  # compiles
    results: list[Plain] = []
    rows = {
        "plain SimPy": per_terminal_s(lambda: results.append(plain_simpy(plan)), 20_000),
        "salabim": per_terminal_s(lambda: results.append(plain_salabim(plan)), 20_000),
        "our SimPy engine, every frame": per_terminal_s(lambda: simulate(plan), 20_000),
        "compiled engine, one thread": min(
            per_terminal_s(lambda: simulate_fleet(plan, threads=1), 20_000) for _ in range(5)
        ),
    }
    base_s = rows["plain SimPy"]
    print()
    for name, each_s in rows.items():
        print(f"20,000 terminals, {name}: {each_s * 1e6:.2f} µs each, {base_s / each_s:.1f}× plain SimPy")
    record = simulate_fleet(plan)
    retrieved = int((record.terminals["outcome"] == 1).sum())
    for result in results:
        assert result.retrieved == retrieved
        assert result.last_s == pytest.approx(record.makespan_ns / 1e9, abs=0.2)
    assert base_s / rows["compiled engine, one thread"] >= 300
