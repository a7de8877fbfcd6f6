"""`hostemu run` and `simulate` with any programs: a web server and its clients, and what can go wrong with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.deadline import Deadline
from hostemu.measure.costs import Costs, save_costs
from tests.command_line import ENVIRONMENT, hostemu
from tests.contract.conftest import require
from tests.guests.kernels import lean_kernel, may_build
from tests.lab.needs import needs_lab
from tests.system.test_run_kill import MARK, marked

pytestmark = [needs_lab, may_build]

LACKING = [name for name in ("busybox", "curl") if shutil.which(name) is None]
needs_web = pytest.mark.skipif(bool(LACKING), reason=f"not found: {', '.join(LACKING)}")

SMALL = ("www", "--set", "groups.client.count=3", "--set", "groups.client.simulated.times=2")
ASKS_TWICE = 'groups.client.command=["sh", "{folder}/www/client.sh", "http://{server}/page.txt", "2"]'
VIRTUAL = ("run", "www", "--time", "virtual")
HELLO = """
schema = 1
kind = "workload"
name = "hello"
deadline = "20 s"
[groups.one]
count = 2
line = { delay = "1 ms" }
command = [%s]
"""


@pytest.fixture
def _kernel() -> None:
    require("uml")
    lean_kernel("uml")


def played(folder: Path, *words: str) -> dict[str, Any]:
    """What a run of a workload has come to, be it valid on this machine or not."""
    done = hostemu(*words, "--json", "run.json", cwd=folder)
    assert (folder / "run.json").exists(), done.stderr
    found: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return found


def hello(folder: Path, command: str) -> str:
    """A workload file with this command, as TOML has it."""
    (folder / "hello.toml").write_text(HELLO % command)
    return "hello.toml"


@needs_web
def test_a_web_server_in_real_time_and_simulated(tmp_path: Path) -> None:
    for words in (["run"], ["simulate"]):
        folder = tmp_path / words[0]
        folder.mkdir()
        found = played(folder, *words, *SMALL, "--set", ASKS_TWICE)
        client = found["groups"]["client"]
        assert (client["programs"], client["ended_well"], client["values"]) == (3, 3, 6)
        assert 0.08 < client["p50"] < 0.5
    table = hostemu("compare", ".", cwd=tmp_path).stdout
    assert "real, netns" in table
    assert "simulated" in table


@needs_web
@pytest.mark.usefixtures("_kernel")
def test_a_web_server_in_virtual_time_is_as_the_simulated_one_and_repeats(tmp_path: Path) -> None:
    runs = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        played(tmp_path / name, "run", *SMALL, "--set", ASKS_TWICE, "--time", "virtual")
        (path,) = (tmp_path / name).rglob("workload.json")
        runs.append(json.loads(path.read_text()))
    assert runs[0]["programs"] == runs[1]["programs"]
    assert runs[0]["lines"] == runs[1]["lines"]
    simulated = played(tmp_path, "simulate", *SMALL)["groups"]["client"]
    found = json.loads((tmp_path / "one" / "run.json").read_text())["groups"]["client"]
    assert found["mean"] == pytest.approx(simulated["mean"], rel=0.05)


@needs_web
@pytest.mark.parametrize("backend", ["uml", "qemu"])
def test_a_page_comes_whole_to_a_kernel_of_its_own_over_a_slow_line(backend: str, tmp_path: Path) -> None:
    """The sender hands over many packets as one frame, which the emulator cuts."""
    require(backend)
    lean_kernel({"uml": "uml", "qemu": "x86"}[backend])
    found = played(
        tmp_path, "run", *SMALL[:1], "--backend", backend, "--set", "groups.client.count=1", "--set", ASKS_TWICE
    )
    assert found["groups"]["client"]["values"] == 2
    assert "drops" not in str(found["verdict"])


@needs_web
@pytest.mark.usefixtures("_kernel")
def test_guests_may_be_slow_and_runs_repeat(tmp_path: Path) -> None:
    save_costs(Costs(guest_frame_ns=20_000, guest_call_ns=5_000, guest_fault_ns=50_000), tmp_path / "slow.toml")
    runs = []
    for words in ([], *[["--model", "../slow.toml"]] * 2):
        folder = tmp_path / str(len(runs))
        folder.mkdir()
        played(folder, "run", *SMALL, "--set", ASKS_TWICE, "--time", "virtual", *words)
        (path,) = folder.rglob("workload.json")
        runs.append(json.loads(path.read_text()))
    free, slow, again = runs
    assert slow["programs"] == again["programs"]
    assert slow["lines"] == again["lines"]
    assert slow["charge"]["of"] == "slow"
    assert slow["charged_ns"] == again["charged_ns"]
    assert not any(free["charged_ns"].values())
    took_s = [sum(sum(row["values"]) for row in run["programs"]) for run in (free, slow)]
    assert took_s[0] < took_s[1]
    assert "virtual, as slow as slow (2)" in hostemu("compare", ".", "--markdown", cwd=tmp_path).stdout


@pytest.mark.usefixtures("_kernel")
def test_a_script_of_this_machine_runs_on_another_kernel(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import os, time; time.sleep(100); print(time.monotonic()); print(os.uname().release)")
    name = hello(tmp_path, f'"{sys.executable}", "{{folder}}/script.py"')
    found = played(tmp_path, "run", name, "--time", "virtual", "--set", 'deadline="200 s"')
    assert found["duration_s"] == pytest.approx(100, abs=2)
    (output,) = (tmp_path / "runs").rglob("one-1.out")
    assert (
        output.read_text().splitlines()[1]
        != subprocess.run(["uname", "-r"], capture_output=True, text=True, check=True).stdout.strip()
    )


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ('"sh", "-c", "exit 7"', "one-0 ended with exit status 7"),
        ('"sleep", "60"', "one-1 had not ended by the deadline"),
    ],
)
def test_a_program_that_fails_makes_the_run_invalid(tmp_path: Path, command: str, said: str) -> None:
    name = hello(tmp_path, command)
    done = hostemu("run", name, "--set", 'deadline="1 s"', cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert said in " ".join(done.stderr.split())
    (path,) = tmp_path.rglob("workload.json")
    assert json.loads(path.read_text())["complete"]


def test_what_a_program_says_is_kept(tmp_path: Path) -> None:
    name = hello(tmp_path, '"sh", "-c", "echo {number} from {one}; echo trouble >&2; echo x > {own}/file"')
    played(tmp_path, "run", name)
    (programs,) = tmp_path.rglob("programs")
    assert (programs / "one-1.out").read_text() == "1 from 10.0.0.2\n"
    assert (programs / "one-1.err").read_text() == "trouble\n"
    assert (programs / "one-1" / "file").read_text() == "x\n"


def test_numbers_are_values_and_other_words_are_told(tmp_path: Path) -> None:
    name = hello(tmp_path, '"sh", "-c", "echo 1.5; echo 2"')
    found = played(tmp_path, "run", name, "--set", "groups.one.values=stdout")
    assert (found["groups"]["one"]["values"], found["groups"]["one"]["mean"]) == (4, 1.75)
    name = hello(tmp_path, '"echo", "many"')
    done = hostemu("run", name, "--set", "groups.one.values=stdout", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "no number" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["run", "www", "--set", "groups.client.needs=['no-such-program']"], 3, "no-such-program"),
        (["run", "www", "--time-scale", "2"], 2, "cannot be made faster"),
        (["run", "www", "--set", "groups.client.count=0"], 2, "groups.client.count"),
        (["run", "www", "--set", "groups.clients.count=0"], 2, "groups.clients"),
        (
            [*VIRTUAL, "--set", "groups.client.line={}", "--set", "groups.server.line={}"],
            2,
            "time",
        ),
        (["run", "www", "--backend", "uml", "--set", "groups.client.memory='64 GiB'"], 3, "vm.max_map_count"),
        ([*VIRTUAL, "--set", "groups.client.memory='64 GiB'"], 3, "vm.max_map_count"),
        (["simulate", "hello.toml"], 2, "does not know what the programs of group one do"),
        (["run", "www", "--model", "thesis-2008-models"], 2, "--time virtual with --model"),
        ([*VIRTUAL, "--model", "thesis-2008-models", "--slow-as", "netns"], 2, "nothing to charge netns guests with"),
    ],
)
def test_what_cannot_be_played_is_refused(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    hello(tmp_path, '"true"')
    done = hostemu(*words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.split())
    assert [path.name for path in tmp_path.iterdir()] == ["hello.toml"]


def test_a_killed_run_leaves_no_process(tmp_path: Path) -> None:
    name = hello(tmp_path, '"sleep", "100"')
    command = [sys.executable, "-m", "hostemu", "run", name, "--set", 'deadline="90 s"']
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, cwd=tmp_path, env={**ENVIRONMENT, MARK: str(tmp_path)}, **quiet) as run:
        Deadline.after(60, "a record").wait_until(lambda: bool(list(tmp_path.rglob("workload.json"))), 0.1)
        run.kill()
    Deadline.after(10, "the lab's processes to be gone").wait_until(lambda: not marked(str(tmp_path)), 0.05)
    (path,) = tmp_path.rglob("workload.json")
    assert not json.loads(path.read_text())["complete"]
