"""The same seed gives the same bytes: in one process, in another one, under another hash seed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.records import records_equal
from hostemu.sim import simulate
from tests.sim.builders import scenario, traced
from tests.sim.test_world import FLEET, LOSSY

REPOSITORY = Path(__file__).parents[2]
CASES = {
    "tcp": {**FLEET},
    "calls-lossy": {**FLEET, "retrieval.initiative": "terminal", "lines.terminals": LOSSY},
    "udp-lossy": {**FLEET, "retrieval.transport": "udp", "lines.terminals": LOSSY, "lines.center": LOSSY},
    "tcp-lossy-silent": {**FLEET, "power.when_off": "silent", "lines.isp": LOSSY},
}
COSTS = {"free": NO_COSTS, "costly": Costs(80_000, 400_000, 300_000, 50_000, 15_000, cores=2)}


def digest(case: str, costs: str) -> str:
    """SHA-256 of a case's trace and record."""
    trace = traced(CASES[case], COSTS[costs])
    record = simulate(scenario(CASES[case]), costs=COSTS[costs])
    tables = (record.terminals, record.lines, record.hosts, record.refusals, record.progress)
    rest = (record.scenario_text, record.seed, record.makespan_ns, record.extra)
    return hashlib.sha256(
        b"\0".join([trace.encode(), *(t.tobytes() for t in tables), repr(rest).encode()])
    ).hexdigest()


def _digest_elsewhere(case: str, costs: str, hash_seed: str) -> str:
    code = f"from tests.determinism.test_simulation import digest; print(digest({case!r}, {costs!r}))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(REPOSITORY)}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("costs", COSTS)
@pytest.mark.parametrize("case", CASES)
def test_trace_and_record_are_the_same_bytes_in_other_processes(case: str, costs: str) -> None:
    here = digest(case, costs)
    assert {_digest_elsewhere(case, costs, hash_seed) for hash_seed in ("1", "987654")} == {here}


@pytest.mark.parametrize("case", CASES)
def test_playing_twice_gives_equal_records(case: str) -> None:
    plan = scenario(CASES[case])
    assert records_equal(simulate(plan), simulate(plan))


@pytest.mark.parametrize("case", CASES)
def test_another_seed_gives_another_trace(case: str) -> None:
    assert traced(CASES[case], seed=1) != traced(CASES[case], seed=2)
