"""Builds of a small source that plays a kernel: kept, keyed, locked, and whole or not at all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.base.errors import HostError
from hostemu.base.work_folder import sweep
from hostemu.guests import kernel_build, kernel_source
from hostemu.guests.kernel_build import Plan, build_kernel, missing_packages
from hostemu.guests.kernel_image import KINDS, Kind
from hostemu.guests.kernel_source import Source
from hostemu.guests.kernels import find_kernel, kernels_dir, lean_kernels
from tests.guests.fake_source import VERSION, fake_tree, packed

ROOT = Path(__file__).resolve().parents[2]
LACKING = {kind: missing_packages(kind, Path("linux.tar.xz")) for kind in KINDS}
pytestmark = pytest.mark.skipif(any(LACKING.values()), reason=f"not installed: {LACKING}")

BUILD = """
import sys
from pathlib import Path
from hostemu.guests.kernel_build import build_kernel
print(build_kernel("uml", lambda done, total: None, 1, Path(sys.argv[1])).sha256)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("HOSTEMU_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "kernels"


def no_progress(_done: int, _total: int) -> None:
    pass


def started(source: Path) -> subprocess.Popen[str]:
    """A build in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, str(source)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.endswith(".lock"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_build_leaves_a_kernel_with_its_record_and_nothing_else(tmp_path: Path, cache: Path, kind: Kind) -> None:
    archive = packed(fake_tree(tmp_path / "linux"))
    seen: list[tuple[int, int]] = []
    kernel = build_kernel(kind, lambda done, total: seen.append((done, total)), 2, archive)
    assert (kernel.kind, kernel.flavour, kernel.version) == (kind, "lean", VERSION)
    assert find_kernel(kind) == kernel
    assert visible(cache) == [kernel.path.parent.name]
    assert visible(kernel.path.parent) == sorted(["build.log", "config", "kernel.json", kernel.path.name])
    assert [done for done, _ in seen[:7]] == [0, 1, 2, 3, 4, 5, seen[-1][1]]
    record = json.loads((kernel.path.parent / "kernel.json").read_text())
    assert record["source"] == str(archive)
    assert record["sha256"] == kernel.sha256
    assert "gcc" in record["compiler"]
    assert 0 <= record["seconds"] < 60
    assert "CC      part5.o" in (kernel.path.parent / "build.log").read_text()


def test_the_second_time_nothing_is_built(tmp_path: Path) -> None:
    source = fake_tree(
        tmp_path / "linux",
    )
    first = build_kernel("uml", no_progress, 1, source)
    made = first.path.stat()
    seen: list[tuple[int, int]] = []
    assert build_kernel("uml", lambda done, total: seen.append((done, total)), 1, source) == first
    assert first.path.stat().st_ino == made.st_ino
    assert seen[-1][0] == seen[-1][1]


def test_the_kernel_asked_for_last_is_found(tmp_path: Path) -> None:
    one, two = (fake_tree(tmp_path / name) for name in ("one", "two"))
    first = build_kernel("uml", no_progress, 1, one)
    second = build_kernel("uml", no_progress, 1, two)
    assert first.path != second.path
    assert find_kernel("uml") == second
    assert build_kernel("uml", no_progress, 1, one) == first
    assert find_kernel("uml") == first


def test_a_damaged_kernel_is_built_anew(tmp_path: Path, cache: Path) -> None:
    source = fake_tree(tmp_path / "linux")
    first = build_kernel("uml", no_progress, 1, source)
    first.path.write_bytes(b"half")
    assert lean_kernels("uml") == []
    assert build_kernel("uml", no_progress, 1, source) == first
    assert visible(cache) == [first.path.parent.name]


def test_the_key_names_all_that_the_kernel_is_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Source(tmp_path, "a")
    keys = {
        Plan("uml", source, "gcc 12", 1).key,
        Plan("x86", source, "gcc 12", 1).key,
        Plan("uml", source, "gcc 13", 1).key,
        Plan("uml", Source(tmp_path, "b"), "gcc 12", 1).key,
    }
    assert len(keys) == 4
    assert Plan("uml", Source(tmp_path / "elsewhere", "a"), "gcc 12", 8).key in keys
    monkeypatch.setattr(kernel_build, "fragment_sha256", lambda _kind: "another")
    assert Plan("uml", source, "gcc 12", 1).key not in keys


def test_an_option_without_effect_is_an_error_that_names_it(tmp_path: Path, cache: Path) -> None:
    source = fake_tree(
        tmp_path / "linux", configure="sed -i '/CONFIG_HOSTFS/d; s/.*CONFIG_SMP .*/CONFIG_SMP=y/' $(O)/.config"
    )
    with pytest.raises(HostError) as caught:
        build_kernel("uml", no_progress, 1, source)
    assert caught.value.found == "without effect: # CONFIG_SMP is not set, CONFIG_HOSTFS=y"
    assert [name for name in visible(cache) if not name.endswith(".log")] == []


def test_a_failed_build_leaves_its_log_only(tmp_path: Path, cache: Path) -> None:
    source = fake_tree(tmp_path / "linux", before="echo 'main.c:1: error: too new' >&2; exit 1")
    with pytest.raises(HostError) as caught:
        build_kernel("uml", no_progress, 1, source)
    assert "too new" in (caught.value.found or "")
    assert caught.value.log is not None
    assert visible(cache) == [caught.value.log.name]
    assert "too new" in caught.value.log.read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_a_kernel_of_another_version_than_its_source_is_refused(tmp_path: Path, kind: Kind) -> None:
    with pytest.raises(HostError, match="is another"):
        build_kernel(kind, no_progress, 1, fake_tree(tmp_path / "linux", version="6.2.0"))


def test_what_make_left_must_be_a_kernel(tmp_path: Path) -> None:
    with pytest.raises(HostError, match="what make left is no uml kernel"):
        build_kernel("uml", no_progress, 1, fake_tree(tmp_path / "linux", version="hello"))


def test_too_little_space_is_said_before_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fake_tree(tmp_path / "linux")
    monkeypatch.setattr(kernel_build, "OBJECT_BYTES", 1 << 60)
    with pytest.raises(HostError, match="too little space") as caught:
        build_kernel("uml", no_progress, 1, source)
    assert re.fullmatch(r"\d+\.\d GB", caught.value.found or "")


FULL = """
import sys
from hostemu.guests import kernel_build
kernel_build.OBJECT_BYTES = kernel_build.TREE_BYTES = 0
""" + BUILD.replace("print(", "print(end='') or print(")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system takes root")
@pytest.mark.parametrize("before", ["head -c 900000 /dev/zero > $(O)/big", "true"])
@pytest.mark.parametrize("size", ["16k", "48k", "256k"])
def test_a_full_disk_is_named_and_cleared(tmp_path: Path, cache: Path, before: str, size: str) -> None:
    cache.mkdir(parents=True)
    archive = packed(fake_tree(tmp_path / "linux", before=before))
    script = f'mount -t tmpfs -o size={size} tmpfs {cache} && "$@" || true; ls {cache}; df --output=used {cache}'
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    run = [sys.executable, "-c", FULL, str(archive)]
    done = subprocess.run([*command, *run], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if "unshare failed" in done.stderr or "mount: " in done.stderr:
        pytest.skip(f"no file systems may be mounted here: {done.stderr.strip()}")
    if size == "256k" and before == "true":
        assert re.match(r"[0-9a-f]{64}\n", done.stdout), done.stderr
    else:
        assert "HostError: the disk is full" in done.stderr
        assert int(done.stdout.split()[-1]) <= 8


def test_a_killed_build_leaves_nothing_half_made_and_the_next_one_clears_up(tmp_path: Path, cache: Path) -> None:
    slow = packed(fake_tree(tmp_path / "slow", before="sleep 61 & echo $$! > $(O)/pid; wait"), "slow.tar.xz")
    process = started(slow)
    Deadline.after(30, "the build").wait_until(lambda: any(path.read_text() for path in cache.glob(PID)))
    (pid,) = cache.glob(PID)
    child = int(pid.read_text())
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert lean_kernels("uml") == []
    Deadline.after(10, "the end of make's children").wait_until(lambda: not runs(child))
    quick = fake_tree(tmp_path / "quick")
    kernel = build_kernel("uml", no_progress, 1, quick)
    assert [name for name in visible(cache) if not name.endswith(".log")] == [kernel.path.parent.name]


@pytest.mark.parametrize("delay_s", [0.15, 0.3, 0.35, 0.4, 0.5])
def test_a_build_killed_at_any_moment_leaves_a_whole_kernel_or_none(
    tmp_path: Path, cache: Path, delay_s: float
) -> None:
    source = packed(fake_tree(tmp_path / "linux"))
    process = started(source)
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    kept = lean_kernels("uml")
    assert len(kept) == len(list(cache.glob("uml-*/")))
    kernel = build_kernel("uml", no_progress, 1, source)
    assert kept == [] or kept[0].kernel == kernel
    Deadline.after(10, "the clearing up").wait_until(lambda: swept(cache))


def swept(cache: Path) -> bool:
    """Clear up; whether that left nothing, as it does once the last compiler is gone."""
    sweep(cache)
    return list(cache.glob(".work-*")) == []


PID = ".work-*/objects/pid"


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_what_somebody_works_in_is_not_cleared_up(tmp_path: Path, cache: Path) -> None:
    slow = fake_tree(tmp_path / "slow", before="touch $(O)/begun; while [ ! -e ../go ]; do sleep 0.05; done")
    process = started(slow)
    Deadline.after(30, "the build").wait_until(lambda: list(cache.glob(".work-*/objects/begun")) != [])
    other = build_kernel("uml", no_progress, 1, fake_tree(tmp_path / "quick"))
    assert len(list(cache.glob(".work-*"))) == 1
    (tmp_path / "go").touch()
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0, error
    assert {lean.kernel.sha256 for lean in lean_kernels("uml")} == {other.sha256, out.strip()}


def test_two_builds_of_one_kernel_make_it_once(tmp_path: Path, cache: Path) -> None:
    source = fake_tree(tmp_path / "linux", before="echo built >> ../builds; sleep 1")
    both = [started(source), started(source)]
    results = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], results
    assert results[0][0] == results[1][0]
    assert (tmp_path / "builds").read_text() == "built\n"
    assert len(visible(cache)) == 1


def test_an_interrupted_build_stops_at_once_and_clears_up(tmp_path: Path, cache: Path) -> None:
    process = started(fake_tree(tmp_path / "linux", before="touch $(O)/begun; sleep 61"))
    Deadline.after(30, "the build").wait_until(lambda: list(cache.glob(".work-*/objects/begun")) != [])
    before = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in error
    assert time.monotonic() - before < 10
    assert [name for name in visible(cache) if not name.endswith(".log")] == []


def test_missing_packages_are_named_all_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_source, "PACKAGED", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("hostemu.base.packages.is_there", lambda need: need.startswith("/"))
    with pytest.raises(HostError) as caught:
        build_kernel("x86", no_progress)
    for package in ("bison", "flex", "gcc", "linux-source", "make", "xz-utils"):
        assert package in str(caught.value)
    assert "hostemu kernel build x86 --install" in str(caught.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = fake_tree(tmp_path / "linux")
    kernels_dir()
    shutil.rmtree(kernels_dir())
    (tmp_path / "cache" / "kernels").write_text("in the way")
    with pytest.raises(HostError, match="cannot write in the cache folder"):
        build_kernel("uml", no_progress, 1, source)
