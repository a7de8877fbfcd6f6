"""Folders to work in: gone in the end, and after a kill once somebody looks."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from hostemu.base.work_folder import PREFIX, sweep, work_folder

WORKER = """
import sys, time
from pathlib import Path
from hostemu.base.work_folder import work_folder
with work_folder(Path(sys.argv[1])) as (work, _):
    (work / "something").write_text("half done")
    print("working", flush=True)
    time.sleep(60)
"""


def works(parent: Path) -> list[Path]:
    return list(parent.glob(f"{PREFIX}*"))


def test_a_folder_is_there_for_as_long_as_it_is_needed(tmp_path: Path) -> None:
    with work_folder(tmp_path) as (one, _), work_folder(tmp_path) as (other, _):
        (one / "file").write_text("x")
        sweep(tmp_path)
        assert sorted(works(tmp_path)) == sorted([one, other])
    assert works(tmp_path) == []


def test_what_a_killed_process_has_left_is_removed_by_the_next(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    order = [sys.executable, "-c", WORKER, str(tmp_path)]
    with subprocess.Popen(order, cwd=root, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "working\n"
        sweep(tmp_path)
        assert len(works(tmp_path)) == 1
        worker.send_signal(signal.SIGKILL)
    assert len(works(tmp_path)) == 1
    sweep(tmp_path)
    assert works(tmp_path) == []
