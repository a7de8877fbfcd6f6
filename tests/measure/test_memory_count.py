"""Counting memory: real processes that share in every way, and the parsers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.measure.memory_count import Counted, Counter, available_bytes, parse_smaps, tmpfs_devices

MIB = 1 << 20
SIZE = 16 * MIB
SLACK = 6 * MIB

TOUCH = f"data = bytearray(b'x') * {SIZE}\n"
MAP = f"""
import mmap
file = open(sys.argv[1], "r+b")
view = mmap.mmap(file.fileno(), {SIZE}, access=getattr(mmap, sys.argv[2]))
view[: {SIZE} // 2] = b"y" * ({SIZE} // 2)
"""
MEMORY_FILE = f"""
import mmap, os
fd = os.memfd_create("guest")
os.ftruncate(fd, {SIZE})
view = mmap.mmap(fd, {SIZE})
view[:] = b"z" * {SIZE}
if sys.argv[1] == "closed":
    os.close(fd)
"""
CLONE = """
#define _GNU_SOURCE
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static int idle(void *nothing) { (void)nothing; for (;;) pause(); }
int main(void)
{
    char *data = malloc(16 << 20);
    memset(data, 1, 16 << 20);
    for (int k = 0; k < 3; k++)
        if (clone(idle, (char *)malloc(65536) + 65536, CLONE_VM | SIGCHLD, 0) < 0)
            return 1;
    puts("on");
    fflush(stdout);
    (void)getchar();
    return data[5] != 1;
}
"""


@contextmanager
def program(*argv: str) -> Iterator[int]:
    """A program that says a line once it has all its memory, and ends with its input."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"on\n"
            yield process.pid
        finally:
            process.kill()


def python(text: str, *arguments: str) -> list[str]:
    script = f"import sys\n{text}\nprint('on', flush=True)\nsys.stdin.read()\n"
    return [sys.executable, "-S", "-c", script, *arguments]


@pytest.fixture(scope="module")
def empty() -> Counted:
    """The memory of a program that does nothing."""
    with program(*python("import mmap")) as pid:
        return Counter().add([pid])


def test_private_memory_is_counted_as_it_is(empty: Counted) -> None:
    with program(*python(TOUCH)) as pid:
        counted = Counter().add([pid])
    assert counted.private - empty.private == pytest.approx(SIZE, abs=MIB)
    assert (counted.processes, counted.address_spaces, counted.unsure) == (1, 1, 0)
    assert counted.page_tables > 0
    assert counted.shared > 0  # the interpreter is mapped by this process, too


def test_forked_processes_share_pages_until_they_write(empty: Counted) -> None:
    fork = f"import os\n{TOUCH}\nchild = os.fork()\nif not child:\n    sys.stdin.read()\n    os._exit(0)\n"
    with program(*python(fork)) as pid:
        child = int(Path(f"/proc/{pid}/task/{pid}/children").read_text())
        counted = Counter().add([pid, child])
    assert (counted.processes, counted.address_spaces) == (2, 2)
    assert counted.total - empty.total == pytest.approx(SIZE, abs=SLACK)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="not found: gcc")
def test_processes_that_share_one_address_space_are_counted_once(tmp_path: Path) -> None:
    source, binary = tmp_path / "clone.c", tmp_path / "clone"
    source.write_text(CLONE)
    subprocess.run(["gcc", "-o", str(binary), str(source)], check=True)
    with program(str(binary)) as pid:
        pids = [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]
        counted = Counter().add(pids)
        alone = Counter().add([pid])
        os.kill(pid, 9)
        for child in pids[1:]:
            os.kill(child, 9)
    assert (counted.processes, counted.address_spaces, counted.unsure) == (4, 1, 0)
    assert counted.total == pytest.approx(alone.total, rel=0.01)
    assert SIZE <= counted.total < SIZE + SLACK


@pytest.fixture
def memory_folder() -> Iterator[Path]:
    """A folder on tmpfs."""
    folder = Path("/dev/shm") / f"hostemu-test-{os.getpid()}"
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("/dev/shm cannot be written")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def test_a_file_on_tmpfs_is_counted_once_and_with_all_its_space(memory_folder: Path, empty: Counted) -> None:
    path = memory_folder / "ram"
    path.write_bytes(bytes([1]) * SIZE)
    shared, private = ("ACCESS_WRITE", "ACCESS_COPY")
    with program(*python(MAP, str(path), shared)) as first, program(*python(MAP, str(path), shared)) as second:
        path.unlink()
        counter = Counter()
        one, other = counter.add([first]), counter.add([second])
        both = Counter().add([first, second])
    assert one.tmpfs == SIZE  # half of it was never touched by this process
    assert other.tmpfs == 0
    assert both.tmpfs == SIZE
    assert both.private - 2 * empty.private < SLACK
    path.write_bytes(bytes([1]) * SIZE)
    with program(*python(MAP, str(path), private)) as pid:
        copied = Counter().add([pid])
    assert copied.tmpfs == SIZE
    assert copied.private - empty.private == pytest.approx(SIZE // 2, abs=MIB)


@pytest.mark.parametrize("end", ["open", "closed"])
def test_memory_files_are_counted_held_or_only_mapped(end: str, empty: Counted) -> None:
    with program(*python(MEMORY_FILE, end)) as pid:
        counted = Counter().add([pid])
    assert counted.tmpfs == SIZE
    assert counted.private - empty.private < SLACK


def test_what_has_ended_is_left_out() -> None:
    with program(*python("")) as pid:
        pass
    counted = Counter().add([pid])
    assert counted.total == 0


SMAPS = """56349d212000-56349d218000 r-xp 00002000 fe:00 260386                     /usr/bin/head
Size:                 24 kB
Rss:                  24 kB
Pss:                  10 kB
Private_Clean:         4 kB
Private_Dirty:         0 kB
Anonymous:             0 kB
SwapPss:               3 kB
VmFlags: rd mr mw me
7f0000000000-7f0000100000 rw-p 00000000 00:1a 77                         /dev/shm/vm_file-x (deleted)
Pss:                  40 kB
Private_Dirty:        30 kB
Anonymous:             8 kB
7f0000200000-7f0000300000 rw-s 00000000 00:01 1024                       /memfd:guest ram (deleted)
Pss:                   5 kB
Private_Dirty:         5 kB
Anonymous:             0 kB
7ffc0000-7ffd0000 rw-p 00000000 00:00 0                          [stack]
Pss:                   7 kB
Private_Dirty:         7 kB
Anonymous:             7 kB
"""


def test_mappings_are_told_apart() -> None:
    found = parse_smaps(SMAPS, frozenset({os.makedev(0, 0x1A)}))
    assert found.private == (4 + 7 + 8) << 10
    assert found.shared == 6 << 10
    assert found.swapped == 3 << 10
    assert found.tmpfs == {(os.makedev(0, 0x1A), 77): 32 << 10, (os.makedev(0, 1), 1024): 5 << 10}


@given(text=st.text())
def test_any_text_is_parsed_to_something_countable(text: str) -> None:
    assert parse_smaps(text, frozenset()).private >= 0


def test_tmpfs_is_found_among_mounts() -> None:
    text = """25 30 0:22 / /proc rw shared:1 - proc proc rw
31 25 0:26 / /dev/shm rw,nosuid shared:4 - tmpfs tmpfs rw
40 30 254:0 / /data rw master:1 - ext4 /dev/vda rw
"""
    assert tmpfs_devices(text) == {os.makedev(0, 26)}


@given(values=st.lists(st.integers(0, 2**40), min_size=16, max_size=16))
def test_counts_add_up(values: list[int]) -> None:
    one, other = Counted(*values[:8]), Counted(*values[8:])
    assert (one + other).total == one.total + other.total
    assert (one + other).processes == one.processes + other.processes


def test_available_memory_is_a_part_of_the_machines() -> None:
    assert 0 < available_bytes() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
