"""The compiled engine: two million terminals on one core, and time per terminal beside SimPy and salabim."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from hostemu.scenario import load_scenario
from hostemu.sim import simulate, simulate_fleet
from tests.bench.plain_models import Plain, plain_salabim, plain_simpy

pytestmark = pytest.mark.bench

FLEET = ["retrieval.list_size=200000", "retrieval.concurrency=20000"]
"""Ten ISP servers of 200,000 terminals, as the thesis assumes; each is in contact with a tenth of them."""

ONE_CORE = """
import json, os, resource, sys, time
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from hostemu.scenario import load_scenario
from hostemu.sim import simulate_fleet
settings = json.loads(sys.argv[1])
small = load_scenario("thesis-uml", [*settings, "fleet.terminals=200000"])
simulate_fleet(small, rows=True), simulate_fleet(small, rows=False)
plan = load_scenario("thesis-uml", settings)
began = time.perf_counter()
record = simulate_fleet(plan)
took_s = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"took_s": took_s, "peak_mb": peak, "rows": len(record.terminals),
                  "retrieved": int((record.terminals["outcome"] == 1).sum() or record.tally["terminals"].sum())}))
"""


def on_one_core(*settings: str) -> dict[str, Any]:
    """Time and memory of a fleet, in a process and on a core of its own, after compilation."""
    order = json.dumps([*FLEET, *settings])
    done = subprocess.run([sys.executable, "-c", ONE_CORE, order], capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_two_million_terminals_on_one_core() -> None:
    found = on_one_core("fleet.terminals=2000000")
    print(f"\n2,000,000 terminals, 10 lists, one core: {found['took_s']:.2f} s, {found['peak_mb']:.0f} MB at most")
    assert found["rows"] == 2_000_000
    assert found["took_s"] <= 1.5
    assert found["peak_mb"] <= 600


def test_time_and_memory_grow_with_the_fleet() -> None:
    found = {
        n: on_one_core(f"fleet.terminals={n}", "retrieval.list_size=10000", "retrieval.concurrency=1000")
        for n in (10**4, 10**5, 10**6, 10**7, 10**8)
    }
    print()
    for n, figures in found.items():
        print(
            f"{n:>11,} terminals, one core: {figures['took_s']:8.3f} s, {figures['took_s'] / n * 1e9:5.0f} ns each, "
            f"{figures['peak_mb']:.0f} MB at most"
        )
    assert found[10**8]["took_s"] / found[10**6]["took_s"] <= 150


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
