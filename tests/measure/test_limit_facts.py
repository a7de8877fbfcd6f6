"""Limits as /proc and /sys tell them: fabricated machines, and this one against other sources."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostemu.measure.limit_facts import UNLIMITED, Facts, GroupLimit, read_facts

LIMITS = """Limit                     Soft Limit           Hard Limit           Units
Max cpu time              unlimited            unlimited            seconds
Max processes             96365                100000               processes
Max open files            1024                 20000                files
"""
MEMINFO = """MemTotal:       24684096 kB
MemAvailable:   20000000 kB
CommitLimit:    12342048 kB
Committed_AS:    1000000 kB
"""
FILES = {
    "proc/loadavg": "0.95 0.79 0.36 3/115 2604\n",
    "proc/meminfo": MEMINFO,
    "proc/self/limits": LIMITS,
    "proc/self/status": "Name:\tpython\nUid:\t1000\t1000\t1000\t1000\nThreads:\t1\n",
    "proc/self/uid_map": "         0          0 4294967295\n",
    "proc/self/cgroup": "0::/user.slice/session\n",
    "proc/10/status": "Uid:\t1000\t1000\t1000\t1000\nThreads:\t3\n",
    "proc/11/status": "Uid:\t0\t0\t0\t0\nThreads:\t50\n",
    "proc/12/status": "Uid:\t1000\t0\t0\t0\nThreads:\t4\n",
    "proc/sys/kernel/pid_max": "32768\n",
    "proc/sys/kernel/threads-max": "192731\n",
    "proc/sys/fs/nr_open": "1048576\n",
    "proc/sys/fs/file-max": "9223372036854775807\n",
    "proc/sys/fs/file-nr": "613\t0\t9223372036854775807\n",
    "proc/sys/vm/max_map_count": "65530\n",
    "proc/sys/vm/overcommit_memory": "0\n",
    "proc/sys/user/max_net_namespaces": "96365\n",
    "proc/sys/user/max_user_namespaces": "0\n",
    "proc/sys/net/ipv4/neigh/default/gc_thresh3": "1024\n",
}


def fabricate(root: Path, files: dict[str, str]) -> Path:
    """A machine that consists of these files."""
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def test_every_fact_of_a_fabricated_machine_is_read(tmp_path: Path) -> None:
    facts = read_facts(fabricate(tmp_path, FILES))
    assert facts == Facts(
        is_root=False,
        pid_max=32768,
        threads_max=192731,
        tasks=115,
        own_tasks=7,
        own_tasks_max=96365,
        open_files=20000,
        nr_open=1048576,
        files_max=UNLIMITED,
        files=613,
        namespaces={"net": 96365, "user": 0},
        memory_available_bytes=20000000 * 1024,
        max_map_count=65530,
        commit_strict=False,
        commit_limit_bytes=12342048 * 1024,
        committed_bytes=1000000 * 1024,
        neighbours_max=1024,
    )


def test_what_a_machine_does_not_tell_is_unknown(tmp_path: Path) -> None:
    assert read_facts(tmp_path) == Facts()


@pytest.mark.parametrize(
    ("uid", "uid_map", "is_root"),
    [
        ("0", "0 0 4294967295", True),
        ("1000", "0 0 4294967295", False),
        ("0", "0 1000 1", False),
        ("0", "0 0 1000\n1000 5000 10", False),
    ],
)
def test_root_of_a_user_namespace_is_no_root(tmp_path: Path, uid: str, uid_map: str, is_root: bool) -> None:
    files = {"proc/self/status": f"Uid:\t{uid}\t{uid}\t{uid}\t{uid}\n", "proc/self/uid_map": uid_map}
    assert read_facts(fabricate(tmp_path, files)).is_root is is_root


@pytest.mark.parametrize(("mode", "strict"), [("0", False), ("1", False), ("2", True)])
def test_strict_accounting_of_memory_is_mode_2(tmp_path: Path, mode: str, strict: bool) -> None:
    assert read_facts(fabricate(tmp_path, {"proc/sys/vm/overcommit_memory": mode})).commit_strict is strict


GROUP = "sys/fs/cgroup"


def test_of_all_groups_above_the_one_that_leaves_least_counts(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/outer/inner\n",
        f"{GROUP}/outer/inner/pids.max": "1000\n",
        f"{GROUP}/outer/inner/pids.current": "10\n",
        f"{GROUP}/outer/pids.max": "800\n",
        f"{GROUP}/outer/pids.current": "300\n",
        f"{GROUP}/pids.max": "max\n",
    }
    expected = GroupLimit(f"/{GROUP}/outer/pids.max", 800, 300)
    assert read_facts(fabricate(tmp_path, files)).group_tasks == expected
    assert expected.left == 500


def test_file_pages_that_nobody_uses_are_no_used_memory(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/\n",
        f"{GROUP}/memory.max": "4000000000\n",
        f"{GROUP}/memory.current": "3000000000\n",
        f"{GROUP}/memory.stat": "anon 500000000\ninactive_file 2000000000\nactive_file 500000000\n",
    }
    facts = read_facts(fabricate(tmp_path, files))
    assert facts.group_memory == GroupLimit(f"/{GROUP}/memory.max", 4_000_000_000, 1_000_000_000)


def test_groups_of_version_1(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "8:pids:/box\n4:memory:/box\n2:cpu,cpuacct:/\n0::/\n",
        f"{GROUP}/pids/box/pids.max": "100\n",
        f"{GROUP}/pids/box/pids.current": "5\n",
        f"{GROUP}/memory/box/memory.limit_in_bytes": "1000000\n",
        f"{GROUP}/memory/box/memory.usage_in_bytes": "600000\n",
        f"{GROUP}/memory/box/memory.stat": "total_inactive_file 100000\n",
        f"{GROUP}/memory/memory.limit_in_bytes": "9223372036854771712\n",
        f"{GROUP}/memory/memory.usage_in_bytes": "1\n",
    }
    facts = read_facts(fabricate(tmp_path, files))
    assert facts.group_tasks == GroupLimit(f"/{GROUP}/pids/box/pids.max", 100, 5)
    assert facts.group_memory == GroupLimit(f"/{GROUP}/memory/box/memory.limit_in_bytes", 1_000_000, 500_000)


def test_a_group_outside_of_what_is_seen_here_is_looked_for_at_the_top(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/../../elsewhere\n",
        f"{GROUP}/pids.max": "77\n",
        f"{GROUP}/pids.current": "7\n",
    }
    assert read_facts(fabricate(tmp_path, files)).group_tasks == GroupLimit(f"/{GROUP}/pids.max", 77, 7)


def test_groups_without_limits_are_none(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/a\n", f"{GROUP}/a/pids.max": "max\n", f"{GROUP}/a/memory.max": "max\n"}
    facts = read_facts(fabricate(tmp_path, files))
    assert (facts.group_tasks, facts.group_memory) == (None, None)


EVERY_FILE = [
    *FILES,
    f"{GROUP}/memory.max",
    f"{GROUP}/memory.current",
    f"{GROUP}/memory.stat",
    f"{GROUP}/pids.max",
    f"{GROUP}/user.slice/session/pids.current",
]
WORDS = st.lists(st.sampled_from(["0", "-1", "12", "max", ":", "kB", "Uid:", "/", "é", " ", "\t", "\n", "\0"])).map(
    "".join
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(EVERY_FILE), WORDS))
def test_whatever_the_files_say_facts_come_out(tmp_path: Path, changed: dict[str, str]) -> None:
    facts = read_facts(fabricate(tmp_path, {**FILES, **changed}))
    assert isinstance(facts.tasks, int)
    assert isinstance(facts.own_tasks, int)


def test_this_machine_is_described_as_other_sources_describe_it() -> None:
    facts = read_facts()
    assert facts.open_files == _as_told(resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    assert facts.own_tasks_max == _as_told(resource.getrlimit(resource.RLIMIT_NPROC)[0])
    assert facts.memory_available_bytes is not None
    assert 0 < facts.memory_available_bytes <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert facts.own_tasks >= 1
    assert facts.pid_max is not None
    assert 1 <= facts.tasks <= facts.pid_max
    assert facts.files > 0


def _as_told(limit: int) -> int:
    return UNLIMITED if limit == resource.RLIM_INFINITY else limit
