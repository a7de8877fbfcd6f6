"""The thesis' experiment, unscaled: minutes long."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostemu.lab import lab_possible
from tests.system.test_cli import hostemu

LAB, LAB_REASON, _ = lab_possible()
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not LAB, reason=f"no lab on this machine: {LAB_REASON}"),
]

TOLERANCE = 0.05


def test_the_twin_predicts_the_measured_time(tmp_path: Path) -> None:
    assert hostemu("calibrate", "--repeats", "1", "--output", "costs.toml", cwd=tmp_path).returncode == 0
    done = hostemu("run", "thesis-qemu", "--json", "real.json", cwd=tmp_path, limit_s=600)
    real = json.loads((tmp_path / "real.json").read_text())
    if real["verdict"] != "valid":
        pytest.skip(f"this machine disturbed the run: {'; '.join(real['verdict'])}")
    assert done.returncode == 0, done.stderr
    simulated = hostemu("simulate", "thesis-qemu", "--model", "costs.toml", "--json", "-", cwd=tmp_path)
    twin = json.loads(simulated.stdout)
    print(f"measured {real['makespan_s']:.1f} s, simulated {twin['makespan_s']:.1f} s")
    assert real["retrieved"] + sum(real["failed"].values()) == real["terminals"] == 3200
    assert abs(twin["makespan_s"] / real["makespan_s"] - 1) <= TOLERANCE
    assert abs(twin["attempts"]["mean"] / real["attempts"]["mean"] - 1) <= TOLERANCE
