"""make: its lines as progress, its failures as errors."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostError
from hostemu.guests.kernel_make import StepCounter, environment, run_make

needs_make = pytest.mark.skipif(shutil.which("make") is None, reason="not found: make")

steps = st.sampled_from(["  CC      init/main.o", "  LD [M]  a.ko", "  VDSO2C  arch/x86/x.c", "  AR      built-in.a"])
others = st.sampled_from(
    ["make[1]: Entering directory 'x'", "", "a warning: CC x", "Kernel: bzImage is ready", "CC x"]
)


@given(st.integers(0, 30), st.lists(st.one_of(steps, others), max_size=40))
def test_progress_never_falls_and_ends_at_all(expected: int, lines: list[str]) -> None:
    seen: list[tuple[int, int]] = []
    counter = StepCounter(expected, lambda done, total: seen.append((done, total)))
    for line in lines:
        counter.line(line)
    before = seen[-1][0]
    counter.finish()
    total = max(1, expected)
    assert [total for _, total in seen] == [total] * len(seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert before == min(sum(line.startswith("  ") for line in lines), total - 1)
    assert seen[-1] == (total, total)


def test_make_sees_nothing_that_would_change_the_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ARCH", "KCFLAGS", "MAKEFLAGS", "CROSS_COMPILE", "O", "LC_MESSAGES"):
        monkeypatch.setenv(name, "arm")
    seen = environment()
    assert "arm" not in seen.values()
    assert seen["PATH"] == os.environ["PATH"]


def make(folder: Path, recipe: str) -> None:
    (folder / "Makefile").write_text(f"all:\n\t@{recipe}\n")
    with (folder / "lock").open("w") as lock:
        run_make(["-C", str(folder), "all"], folder / "log", lock.fileno())


@needs_make
def test_all_that_make_says_is_logged(tmp_path: Path) -> None:
    make(tmp_path, "echo '  CC a.o'; echo aside >&2")
    assert {"  CC a.o", "aside"} <= set((tmp_path / "log").read_text().splitlines())


@needs_make
def test_a_failure_says_why_and_where_the_log_is(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        make(tmp_path, "echo 'main.c:7: error: no such thing'; echo nothing to see; exit 1")
    assert "main.c:7: error: no such thing" in (caught.value.found or "")
    assert caught.value.log == tmp_path / "log"


@needs_make
def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="the disk is full"):
        make(tmp_path, "echo 'ld: final link failed: No space left on device'; exit 1")


@needs_make
def test_make_is_gone_when_its_reader_fails(tmp_path: Path) -> None:
    (tmp_path / "Makefile").write_text('all:\n\t@echo "$$$$"; sleep 60\n')

    def fail(line: str) -> None:
        if line.isdigit():
            raise InterruptedError(line)

    with (tmp_path / "lock").open("w") as lock, pytest.raises(InterruptedError) as caught:
        run_make(["-C", str(tmp_path), "all"], tmp_path / "log", lock.fileno(), fail)
    shell = Path(f"/proc/{caught.value}/stat")
    Deadline.after(5, "the end of make's shell").wait_until(lambda: ended(shell))


def ended(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True
