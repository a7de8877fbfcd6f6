"""CPU time and memory of a lab, measured inside one that does a known amount of work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hostemu.lab import call_in_lab, lab_possible
from hostemu.measure.lab_use import process_cpu_s
from hostemu.measure.memory_count import kernel_bytes

LAB, REASON, _ = lab_possible()
SPENT_S = 0.3
HELD_BYTES = 64 << 20


@pytest.mark.skipif(not LAB, reason=f"no lab on this machine: {REASON}")
def test_work_of_living_and_of_ended_processes_is_counted_where_it_was_done() -> None:
    found: dict[str, Any] = call_in_lab("tests.measure.inside_use:busy", [SPENT_S, HELD_BYTES], timeout_s=60)
    cpu, memory = found["cpu"], found["memory"]
    assert cpu["living"] == pytest.approx(SPENT_S, abs=0.1)
    assert SPENT_S - 0.05 < cpu["runner"] < SPENT_S + 0.3  # the one that ended, and this test's own few
    assert HELD_BYTES < memory["living"] < 1.3 * HELD_BYTES + (32 << 20)
    assert memory["runner"] > 1 << 20
    assert found["processes"] == 3  # process 1 of the lab, its worker, the living one
    assert found["machine_s"] >= SPENT_S


def test_a_process_that_is_gone_has_used_nothing_more() -> None:
    assert process_cpu_s(2**22 - 1) == 0.0


def test_the_kernels_memory_is_what_it_cannot_give_back(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 9 kB\nSUnreclaim: 3 kB\nVmallocUsed: 4 kB\nPercpu: 5 kB\n")
    assert kernel_bytes(tmp_path) == 12 * 1024
