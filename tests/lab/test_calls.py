"""Calling a function in a lab: results, events, errors, and what is left afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pytest

from hostemu.base import errors
from hostemu.base.errors import CommandFailed, DeadlineExceeded, HostemuError, InputError, RunError
from hostemu.lab import call_in_lab, lab_possible
from tests.lab.inside import namespaces
from tests.lab.needs import needs_lab

pytestmark = needs_lab
INSIDE = "tests.lab.inside:"
ROOT = Path(__file__).resolve().parents[2]


def own_children() -> set[str]:
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Any:
    before = own_children(), open_files(), Path("/proc/self/mountinfo").read_text()
    yield
    assert (own_children(), open_files(), Path("/proc/self/mountinfo").read_text()) == before


@pytest.mark.parametrize("value", [None, True, 7, 1.5, "ä\n", [1, [2]], {"a": {"b": None}}])
def test_a_json_value_goes_in_and_comes_out_unchanged(value: Any) -> None:
    assert call_in_lab(INSIDE + "answer", value) == value


def test_events_arrive_in_order_before_the_result() -> None:
    events: list[dict[str, Any]] = []
    assert call_in_lab(INSIDE + "count", 300, on_event=events.append) == "done"
    assert events == [{"k": k} for k in range(300)]


def test_a_result_and_an_argument_may_be_megabytes() -> None:
    assert call_in_lab(INSIDE + "big", 2_000_000) == "é" * 2_000_000
    assert call_in_lab(INSIDE + "answer", "x" * 3_000_000) == "x" * 3_000_000


TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HostemuError)]


@pytest.mark.parametrize("kind", TREE, ids=lambda kind: kind.__name__)
def test_an_error_of_the_tree_comes_out_as_itself(kind: type[HostemuError]) -> None:
    with pytest.raises(kind) as caught:
        call_in_lab(INSIDE + "fail", kind.__name__)
    error = caught.value
    assert type(error) is kind
    fields = (error.message, error.expected, error.found, error.hint, error.log)
    assert fields == ("sentence", "this", "that", "do so", Path("some.log"))


def test_an_unforeseen_error_is_a_run_error_with_its_traceback() -> None:
    with pytest.raises(RunError, match="ZeroDivisionError") as caught:
        call_in_lab(INSIDE + "crash", None)
    assert "in crash" in str(caught.value)
    assert "by nothing" in str(caught.value)


@pytest.mark.parametrize("target", ["tests.lab.inside:absent", "tests.lab.absent:answer", "nonsense"])
def test_a_target_that_does_not_exist_is_an_error(target: str) -> None:
    with pytest.raises(HostemuError):
        call_in_lab(target, None)


def test_a_result_that_is_not_json_is_an_error() -> None:
    with pytest.raises(RunError, match="JSON"):
        call_in_lab(INSIDE + "no_json", None)


def test_a_killed_worker_is_a_run_error_that_names_the_signal() -> None:
    with pytest.raises(RunError, match=r"9|SIGKILL"):
        call_in_lab(INSIDE + "die", None)


def test_a_call_that_takes_too_long_is_ended_in_order(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    with pytest.raises(DeadlineExceeded):
        call_in_lab(INSIDE + "linger", str(marker), timeout_s=1.0)
    assert marker.read_text() == "tidied up"


def test_an_error_in_the_event_handler_ends_the_lab_in_order(tmp_path: Path) -> None:
    marker = tmp_path / "marker"

    def refuse(_event: dict[str, Any]) -> None:
        raise InputError("no more")

    with pytest.raises(InputError, match="no more"):
        call_in_lab(INSIDE + "linger", str(marker), on_event=refuse)
    assert marker.read_text() == "tidied up"


def test_ctrl_c_ends_the_lab_in_order(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    program = (
        "import sys; from hostemu.lab import call_in_lab\n"
        "try: call_in_lab(sys.argv[1], sys.argv[2], on_event=lambda event: print('waiting', flush=True))\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
    )
    command = [sys.executable, "-c", program, INSIDE + "linger", str(marker)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == b"waiting\n"
        caller.send_signal(signal.SIGINT)
        assert caller.wait(30) == 130
    assert marker.read_text() == "tidied up"


def test_a_lab_is_a_world_of_its_own() -> None:
    seen = call_in_lab(INSIDE + "surroundings", None)
    assert seen["uid"] == 0
    assert seen["interfaces"] == ["lo"]
    assert seen["stdin"] == "null"
    assert seen["file_limit_is_raised"]
    for kind, identity in namespaces("net", "pid", "mnt", "ipc", "uts").items():
        assert seen["namespaces"][kind] != identity
    if seen["processes"][:2] == [1, 2]:  # a /proc of its own
        assert len(seen["processes"]) < 10
        assert seen["sys_interfaces"] == ["lo"]


def test_shared_memory_of_a_lab_dies_with_it(tmp_path: Path) -> None:
    call_in_lab(INSIDE + "surroundings", None)
    assert not Path("/dev/shm/hostemu-test").exists()


def test_a_lab_can_write_to_folders_of_the_host_even_below_dev_shm(tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for path in (tmp_path / "file", Path(folder, "file")):
            call_in_lab(INSIDE + "write", str(path))
            assert path.read_text() == "from the lab"


def test_orphans_are_reaped() -> None:
    assert call_in_lab(INSIDE + "zombies", None) == 0


def test_labs_run_side_by_side_from_threads() -> None:
    results: dict[int, Any] = {}

    def call(number: int) -> None:
        results[number] = call_in_lab(INSIDE + "answer", number)

    threads = [threading.Thread(target=call, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {number: number for number in range(4)}


def test_the_probe_says_what_it_found() -> None:
    usable, detail, fix = lab_possible()
    assert usable
    assert detail
    assert fix == ""


def test_the_caller_is_left_alone() -> None:
    before = namespaces("net", "pid", "mnt", "user")
    handlers = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(CommandFailed):
        call_in_lab(INSIDE + "fail", "CommandFailed")
    assert namespaces("net", "pid", "mnt", "user") == before
    assert handlers == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))
