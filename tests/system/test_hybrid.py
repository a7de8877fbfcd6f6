"""Real hosts and simulated terminals in one run: in real time by the emulator, and in virtual time."""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hostemu.records import RunRecord, read_record
from tests.command_line import hostemu
from tests.contract.conftest import require
from tests.disturbed import undisturbed
from tests.guests.kernels import lean_kernel, may_build
from tests.lab.needs import needs_lab

pytestmark = [needs_lab, may_build]

IN_VIRTUAL_TIME = ("--time", "virtual")


def played(folder: Path, real_guests: int, *words: str) -> tuple[dict[str, Any], RunRecord, Path]:
    """The result, record and folder of a run of smoke with so many real terminal guests."""
    folder.mkdir(exist_ok=True)
    command = ("run", "smoke", "--set", f"hosts.real_guests={real_guests}", *words, "--json", "run.json")
    done = hostemu(*command, cwd=folder)
    assert (folder / "run.json").exists(), done.stderr
    result: dict[str, Any] = json.loads((folder / "run.json").read_text())
    (path,) = (folder / "runs").rglob("record.h5")
    return result, read_record(path), path.parent


@pytest.fixture
def _kernel() -> None:
    require("uml")
    lean_kernel("uml")


@pytest.mark.parametrize("real_guests", [0, 2])
def test_simulated_terminals_answer_a_real_isp_server(tmp_path: Path, real_guests: int) -> None:
    tries = count()
    result, record, _ = undisturbed(
        lambda: played(tmp_path / str(next(tries)), real_guests), lambda found: found[1].verdict
    )
    assert (result["mode"], result["retrieved"]) == ("real", 40)
    programs = record.extra["programs"]
    assert {name for name in programs if name.startswith("farm")} == {f"farm-{k}" for k in range(4)}
    assert sum(programs[f"farm-{k}"]["served"] for k in range(4)) == 40
    hosts = {row["name"].decode() for row in record.hosts}
    assert hosts == {"center", "isp", *(f"guest-{k}" for k in range(real_guests))}
    assert {row["name"].decode() for row in record.lines} >= {f"terminals-{k}" for k in range(4)}


@pytest.mark.usefixtures("_kernel")
def test_it_does_not_matter_in_virtual_time_who_is_real(tmp_path: Path) -> None:
    """Simulated terminals have the power cycles and say the same; only their kernels' habits differ."""
    found = [played(tmp_path / str(real), real, *IN_VIRTUAL_TIME) for real in (0, 2, 4)]
    times = [np.sort(record.terminals["retrieved_at_ns"]) for _, record, _ in found]
    attempts = [record.terminals["attempts"] for _, record, _ in found]
    for _, record, _ in found:
        assert record.verdict == []
    for own in times[:-1]:
        assert np.abs(own - times[-1]).max() < 60e6
    for own in attempts[:-1]:
        assert np.abs(own.astype(int) - attempts[-1]).sum() <= 4


@pytest.mark.usefixtures("_kernel")
def test_runs_with_simulated_terminals_repeat_byte_by_byte(tmp_path: Path) -> None:
    one, two = (played(tmp_path / name, 1, *IN_VIRTUAL_TIME)[2] for name in ("one", "two"))
    frames = (one / "frames.bin").read_bytes()
    assert len(frames) > 200 * 32
    assert (two / "frames.bin").read_bytes() == frames


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--set", "hosts.real_guests=-1"], "hosts.real_guests is wrong"),
        (["--set", "hosts.real_guests=some"], "hosts.real_guests is wrong"),
        (["--set", "hosts.wiring=tap", "--set", "lines={}"], "gine or segment, where guests are simulated"),
        (["--set", "retrieval.transport=udp"], "tcp, where guests are simulated"),
        (["--set", "retrieval.initiative=terminal"], "server, where guests are simulated"),
    ],
)
def test_what_cannot_be_mixed_is_refused(words: list[str], said: str, tmp_path: Path) -> None:
    done = hostemu("run", "smoke", "--set", "hosts.real_guests=0", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert said in " ".join(done.stderr.split())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("_kernel")
def test_a_kernel_may_be_the_router_between_both(tmp_path: Path) -> None:
    """Center, ISP server, router and one guest of terminals are kernels; the other guest is simulated."""
    small = ("fleet.terminals=20", "fleet.terminals_per_guest=10", "retrieval.concurrency=20")
    settings = [word for key in (*small, "hosts.wiring=segment", "hosts.real_guests=1") for word in ("--set", key)]
    command = ("run", "thesis-uml", "--time", "virtual", "--time-scale", "20", *settings, "--json", "-")
    done = hostemu(*command, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["retrieved"] == 20
    (path,) = tmp_path.rglob("record.h5")
    record = read_record(path)
    assert {row["name"].decode() for row in record.hosts} == {"center", "isp", "router", "guest-0"}
    assert record.extra["programs"]["farm-1"]["served"] == 10


def test_in_real_time_no_simulated_guest_is_on_a_shared_network(tmp_path: Path) -> None:
    words = ("--backend", "uml", "--set", "hosts.wiring=segment", "--set", "hosts.real_guests=1")
    done = hostemu("run", "thesis-uml", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "--time virtual" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_no_plan_is_made_of_a_mixture(tmp_path: Path) -> None:
    done = hostemu("plan", "smoke", "--set", "hosts.real_guests=1", cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert "simulated guests among real ones" in done.stderr
