"""The thesis' experiment, unscaled: minutes long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hostemu.lab import lab_possible
from tests.command_line import hostemu
from tests.disturbed import undisturbed
from tests.system.test_cli import reasons_of

LAB, LAB_REASON, _ = lab_possible()
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not LAB, reason=f"no lab on this machine: {LAB_REASON}"),
]

TOLERANCE = 0.05
LAST_TERMINAL_TOLERANCE = 0.10
"""The time of one run is that of its last terminal: an extreme value, which scatters more than any quantile."""


def relative(twin: float, real: float) -> float:
    """How far the prediction is off."""
    return abs(twin / real - 1)


def played(folder: Path) -> dict[str, Any]:
    """The summary of a real run."""
    done = hostemu("run", "thesis-qemu", "--json", "-", cwd=folder, limit_s=600)
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_twin_predicts_the_measured_time(tmp_path: Path) -> None:
    calibrated = hostemu("calibrate", "costs", "--set", "costs.repeats=1", cwd=tmp_path, limit_s=600)
    assert calibrated.returncode == 0, calibrated.stderr  # it tries again itself
    real = undisturbed(lambda: played(tmp_path), reasons_of)
    simulated = hostemu("simulate", "thesis-qemu", "--model", "costs.toml", "--json", "-", cwd=tmp_path)
    twin = json.loads(simulated.stdout)
    print(f"measured {real['makespan_s']:.1f} s, simulated {twin['makespan_s']:.1f} s")
    assert real["retrieved"] + sum(real["failed"].values()) == real["terminals"] == 3200
    assert relative(twin["makespan_s"], real["makespan_s"]) <= LAST_TERMINAL_TOLERANCE
    for name in ("p50", "p90", "p99"):
        assert relative(twin["time_to_retrieve_s"][name], real["time_to_retrieve_s"][name]) <= TOLERANCE
    assert relative(twin["attempts"]["mean"], real["attempts"]["mean"]) <= TOLERANCE
