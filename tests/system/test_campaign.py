"""Campaigns from the command line: killed in the middle, continued, shown as tables."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.deadline import Deadline
from hostemu.fitting import load_models
from hostemu.lab import lab_possible
from hostemu.measure.journal import Content, read_journal
from tests.command_line import ENVIRONMENT, hostemu
from tests.system import unprivileged
from tests.system.test_run_kill import MARK, marked

LAB, LAB_REASON, _ = lab_possible()
needs_lab = pytest.mark.skipif(not LAB, reason=f"no lab on this machine: {LAB_REASON}")
needs_iperf = pytest.mark.skipif(shutil.which("iperf") is None, reason="not found: iperf")

CAMPAIGN = """
schema = 1
name = "mini"
backends = ["host", "netns", "uml-of-tomorrow"]

[quiet]
before = "50 ms"

[iperf]
repeats = 2
per_guest = 2
timeout = "30 s"
memory = "64 MiB"
clients = 4
duration = "1 s"

[memory]
repeats = 1
timeout = "30 s"
memory = ["32 MiB"]
settle = "50 ms"

[boot]
repeats = 5
timeout = "30 s"
memory = "32 MiB"
"""
BOOTS = """
schema = 1
name = "boots"
backends = ["netns", "uml-of-tomorrow"]

[quiet]
before = "0 s"

[boot]
repeats = 2
timeout = "30 s"
memory = "32 MiB"
"""
SIZES = """
schema = 1
name = "sizes"
backends = ["netns"]

[quiet]
before = "0 s"

[packets]
repeats = 2
per_guest = 2
timeout = "30 s"
memory = "64 MiB"
payload = [18, 1472]
rate = 5000
duration = "1 s"
wirings = ["direct"]
"""
VALUES = 2 * 3 + 1 + 5


@pytest.fixture
def definition(tmp_path: Path) -> str:
    path = tmp_path / "mini.toml"
    path.write_text(CAMPAIGN)
    return str(path)


def count(content: Content) -> int:
    """Values that count."""
    return sum(len(repeats) for repeats in content.done().values())


def killed_after(values: int, definition: str, folder: Path) -> Content:
    """Kill a campaign with SIGKILL once it has so many values; what its journal holds then."""
    journal = folder / "out" / "campaign.jsonl"
    resume = ["--continue"] if journal.exists() else []
    command = [sys.executable, "-m", "hostemu", "calibrate", definition, "--output", "out", *resume]
    environment = {**ENVIRONMENT, MARK: str(folder)}
    with subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True) as run:
        Deadline.after(120, f"{values} values").wait_until(
            lambda: run.poll() is not None or (journal.exists() and count(read_journal(journal)) >= values), 0.05
        )
        assert run.poll() is None, run.communicate()[1]
        os.kill(run.pid, signal.SIGKILL)
    Deadline.after(10, "the campaign's processes to be gone").wait_until(lambda: not marked(str(folder)), 0.05)
    return read_journal(journal)


@needs_lab
@needs_iperf
def test_a_campaign_that_is_killed_twice_is_finished_in_the_end(definition: str, tmp_path: Path) -> None:
    first = killed_after(3, definition, tmp_path)
    second = killed_after(7, definition, tmp_path)
    assert second.measurements[: len(first.measurements)] == first.measurements
    refused = hostemu("calibrate", definition, "--output", "out", cwd=tmp_path)
    assert refused.returncode == 2
    assert "--continue" in refused.stderr
    changed = hostemu(
        "calibrate", definition, "--output", "out", "--continue", "--set", "iperf.clients=5", cwd=tmp_path
    )
    assert changed.returncode == 2
    assert "iperf.clients: 4, now 5" in changed.stderr
    done = hostemu("calibrate", definition, "--output", "out", "--continue", "--json", "all.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    content = read_journal(tmp_path / "out" / "campaign.jsonl")
    assert content.measurements[: len(second.measurements)] == second.measurements
    assert count(content) == len([m for m in content.measurements if not m.warm_up]) == VALUES
    summary = json.loads((tmp_path / "all.json").read_text())
    assert summary == json.loads((tmp_path / "out" / "campaign.json").read_text())
    assert summary["sessions"] == 3
    assert "hostemu" in summary["host"]
    by_backend: dict[str, list[dict[str, Any]]] = {}
    for cell in summary["cells"]:
        by_backend.setdefault(cell["backend"], []).append(cell)
    assert all(cell["measured"] == cell["wanted"] for name in ("host", "netns") for cell in by_backend[name])
    assert all("has no uml-of-tomorrow guests" in cell["reason"] for cell in by_backend["uml-of-tomorrow"])
    _tables_show_it(tmp_path, summary)


def _tables_show_it(folder: Path, summary: dict[str, Any]) -> None:
    shown = hostemu("tables", "out", "--json", "-", cwd=folder)
    assert shown.returncode == 0, shown.stderr
    assert "Table 1" in shown.stderr
    (campaign,) = json.loads(shown.stdout)["campaigns"]
    (netns,) = [row["cells"] for row in campaign["tables"][0]["rows"] if row["name"] == "netns"]
    values = next(
        cell["quantities"]["iperf_bps"]
        for cell in summary["cells"]
        if cell["backend"] == "netns" and cell["parameters"] == {"wiring": "direct"}
    )
    assert (netns[1]["n"], netns[1]["mean"]) == (2, values["mean"])
    for path in ("out/campaign.jsonl", "out/campaign.json", "all.json"):
        again = hostemu("tables", path, "--markdown", cwd=folder)
        assert again.returncode == 0, again.stderr
        assert "| netns |" in again.stdout


@needs_lab
@needs_iperf
def test_a_campaign_of_several_sizes_leaves_a_model_over_them(tmp_path: Path) -> None:
    (tmp_path / "sizes.toml").write_text(SIZES)
    done = hostemu("calibrate", "sizes.toml", "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "payload" in done.stdout
    model = load_models(tmp_path / "out" / "models.toml").get("direct_packets_per_s", "netns")
    assert model is not None
    assert (model.over, model.fit.least, model.fit.most, model.fit.n) == ("payload_bytes", 18, 1472, 4)
    assert 500 < model.at(700).value < 50_000  # 5,000 were offered
    shown = hostemu("tables", "out", "--markdown", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "| | payload 18 | payload 1472 |" in shown.stdout


@needs_lab
def test_progress_and_refusals_are_told_on_standard_error(tmp_path: Path) -> None:
    backends = ["--backend", "netns", "--backend", "uml-of-tomorrow"]
    (tmp_path / "boots.toml").write_text(BOOTS)
    done = hostemu("calibrate", "boots.toml", *backends, "--output", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not measured: uml-of-tomorrow: hostemu" in done.stderr
    assert "left" in done.stderr
    assert "boot, netns" in done.stdout


@needs_lab
def test_a_campaign_without_any_value_fails(definition: str, tmp_path: Path) -> None:
    done = hostemu("calibrate", definition, "--backend", "uml-of-tomorrow", "--output", "out", cwd=tmp_path)
    assert done.returncode == 1
    assert "nothing could be measured" in done.stderr
    assert "Traceback" not in done.stderr


@needs_lab
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become an ordinary user")
@pytest.mark.skipif(bool(unprivileged.impossible()), reason=unprivileged.impossible())
def test_an_ordinary_user_can_measure_too() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        home, stage = Path(folder) / "home", Path(folder) / "stage"
        home.mkdir()
        (home / "mini.toml").write_text(CAMPAIGN)
        # Without the emulator, which would have to be compiled anew for this user.
        short = ["--set", "iperf.repeats=1", "--set", 'iperf.wirings=["direct"]']
        command = [sys.executable, "-m", "hostemu", "calibrate", "mini.toml", *short]
        done = unprivileged.run([*command, "--output", "out"], home=home, stage=stage, timeout=240)
        if "does not let a lab be made" in done.stderr:
            pytest.skip("no lab for an ordinary user")
        assert done.returncode == 0, done.stderr
        content = read_journal(home / "out" / "campaign.jsonl")
        assert content.sessions[0]["host"]["root"] is False
        assert content.failures == []
        assert {m.cell.figure for m in content.measurements} >= {"boot", "memory"}


@needs_lab
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
@pytest.mark.skipif(bool(unprivileged.impossible()), reason=unprivileged.impossible())
def test_a_full_disk_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "boots.toml").write_text(BOOTS)
    boots = ["boots.toml", "--backend", "netns", "--set", "boot.repeats=200"]
    command = [sys.executable, "-m", "hostemu", "calibrate", *boots, "--output", "disk"]
    script = 'mount -t tmpfs -o size=8k tmpfs disk && "$@"; code=$?; cp disk/campaign.jsonl .; exit $code'
    mounted = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *command]
    done = subprocess.run(
        mounted, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 3, done.stderr
    assert "the disk is full" in done.stderr
    assert "--continue" in done.stderr
    assert "Traceback" not in done.stderr
    assert 0 < count(read_journal(tmp_path / "campaign.jsonl")) < 200
