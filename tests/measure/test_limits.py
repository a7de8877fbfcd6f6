"""Which limits a plan hits: rules on fabricated facts, and their costs against guests that run."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.base.deadline import Deadline
from hostemu.base.errors import InputError
from hostemu.guests import GuestSpec, NicSpec, backend
from hostemu.guests.processes import descendants
from hostemu.lab import call_in_lab
from hostemu.measure.limit_facts import UNLIMITED, Facts, GroupLimit
from hostemu.measure.limits import COSTS, MOST_GUESTS, RUNNER, THESIS, Limit, Plan, capacity, examine
from tests.lab.needs import needs_lab

GIB = 1 << 30
ROOMY = Facts(
    pid_max=4_194_304,
    threads_max=1_000_000,
    tasks=200,
    own_tasks=100,
    own_tasks_max=1_000_000,
    open_files=1_048_576,
    nr_open=1_048_576,
    files_max=10_000_000,
    files=2000,
    group_tasks=GroupLimit("/sys/fs/cgroup/a/pids.max", 1_000_000, 50),
    group_memory=GroupLimit("/sys/fs/cgroup/a/memory.max", 400 * GIB, GIB),
    namespaces=dict.fromkeys(("user", "mnt", "net", "pid", "ipc", "uts"), 100_000),
    memory_available_bytes=256 * GIB,
    shm_bytes=128 * GIB,
    max_map_count=65_530,
    commit_limit_bytes=128 * GIB,
    committed_bytes=4 * GIB,
    neighbours_max=1024,
)
PLANS = st.builds(
    Plan,
    backend=st.sampled_from(sorted(COSTS)),
    guests=st.integers(1, 100_000),
    terminals_per_guest=st.integers(0, 5000),
    memory_bytes=st.integers(16, 256).map(lambda mib: mib << 20),
)
COUNTS = st.one_of(st.none(), st.integers(0, 1 << 40), st.just(UNLIMITED))
FACTS = st.builds(
    Facts,
    pid_max=COUNTS,
    threads_max=COUNTS,
    own_tasks_max=COUNTS,
    open_files=COUNTS,
    nr_open=COUNTS,
    files_max=COUNTS,
    memory_available_bytes=COUNTS,
    shm_bytes=COUNTS,
    max_map_count=COUNTS,
    commit_strict=st.booleans(),
    commit_limit_bytes=COUNTS,
    neighbours_max=COUNTS,
    is_root=st.booleans(),
    namespaces=st.dictionaries(st.sampled_from(["user", "net", "pid", "mnt"]), st.integers(0, 1 << 20)),
    group_tasks=st.none()
    | st.builds(GroupLimit, st.just("/g/pids.max"), st.integers(0, 1 << 20), st.integers(0, 99)),
)


def named(limits: list[Limit], name: str) -> Limit:
    return next(limit for limit in limits if limit.name == name)


def hit(facts: Facts, plan: Plan) -> list[str]:
    return [limit.name for limit in examine(facts, plan) if limit.is_hit]


@pytest.mark.parametrize("name", sorted(COSTS))
def test_a_roomy_machine_plays_the_thesis(name: str) -> None:
    assert hit(ROOMY, replace(THESIS, backend=name)) == []


SMALL: list[tuple[str, str, Facts]] = [
    ("netns", "kernel.pid_max", replace(ROOMY, pid_max=260)),
    ("netns", "kernel.threads-max", replace(ROOMY, threads_max=260)),
    ("netns", "RLIMIT_NPROC", replace(ROOMY, own_tasks_max=150)),
    ("netns", "pids.max", replace(ROOMY, group_tasks=GroupLimit("/g/pids.max", 100, 50))),
    ("netns", "RLIMIT_NOFILE", replace(ROOMY, open_files=256)),
    ("netns", "fs.file-max", replace(ROOMY, files_max=3000)),
    ("netns", "user.max_net_namespaces", replace(ROOMY, namespaces={"net": 30})),
    ("netns", "user.max_pid_namespaces", replace(ROOMY, namespaces={"pid": 30})),
    ("uml", "user.max_mnt_namespaces", replace(ROOMY, namespaces={"mnt": 0})),
    ("uml", "user.max_user_namespaces", replace(ROOMY, namespaces={"user": 0})),
    ("netns", "MemAvailable", replace(ROOMY, memory_available_bytes=GIB // 2)),
    ("qemu", "MemAvailable", replace(ROOMY, memory_available_bytes=GIB)),
    ("netns", "memory.max", replace(ROOMY, group_memory=GroupLimit("/g/memory.max", GIB, GIB // 2))),
    ("uml", "/dev/shm", replace(ROOMY, shm_bytes=64 << 20)),
    ("uml", "vm.max_map_count", replace(ROOMY, max_map_count=8192)),
    ("kvm", "vm.overcommit_memory", replace(ROOMY, commit_strict=True, commit_limit_bytes=6 * GIB)),
]


@pytest.mark.parametrize(("name", "limit", "facts"), SMALL, ids=[f"{row[0]} {row[1]}" for row in SMALL])
def test_each_limit_that_is_too_small_is_named_alone_and_with_a_remedy(name: str, limit: str, facts: Facts) -> None:
    plan = replace(THESIS, backend=name)
    assert hit(facts, plan) == [limit]
    assert named(examine(facts, plan), limit).fix


def test_limits_are_hit_beyond_their_value_and_not_at_it() -> None:
    needed = named(examine(ROOMY, THESIS), "kernel.pid_max").needed
    assert hit(replace(ROOMY, pid_max=needed), THESIS) == []
    assert hit(replace(ROOMY, pid_max=needed - 1), THESIS) == ["kernel.pid_max"]


def test_what_lifts_a_limit_is_known() -> None:
    assert hit(replace(ROOMY, own_tasks_max=10, is_root=True), THESIS) == []  # capabilities(7), CAP_SYS_RESOURCE
    assert hit(replace(ROOMY, namespaces={"user": 0}, is_root=True), THESIS) == []
    assert hit(replace(ROOMY, commit_limit_bytes=GIB, commit_strict=False), THESIS) == []
    assert hit(replace(ROOMY, shm_bytes=0), THESIS) == []  # only UML's guests have their memory there


def test_more_than_1023_guests_do_not_fit_a_bridge_but_gine() -> None:
    many = Plan("uml", 1022, 1)
    ports = named(examine(ROOMY, many), "BR_MAX_PORTS")
    assert (ports.current, ports.needed, ports.ok, ports.is_hit) == (1023, 1024, False, False)
    assert named(examine(ROOMY, replace(many, guests=1021)), "BR_MAX_PORTS").ok
    assert "GINE" in ports.fix
    assert "bridge" in ports.only_if


def test_neighbours_count_twice_where_guests_share_the_hosts_kernel() -> None:
    assert named(examine(ROOMY, Plan("netns", 600, 1)), "gc_thresh3").needed == 1204
    assert named(examine(ROOMY, Plan("uml", 600, 1)), "gc_thresh3").needed == 602
    assert not named(examine(ROOMY, Plan("netns", 600, 1)), "gc_thresh3").ok


def test_terminals_of_a_namespace_need_descriptors_of_their_farm() -> None:
    crowded = Plan("netns", 1, 10_000)
    assert named(examine(ROOMY, crowded), "RLIMIT_NOFILE").needed > 20_000
    assert named(examine(ROOMY, replace(crowded, backend="uml")), "RLIMIT_NOFILE").needed < 200


def test_unlimited_is_said_so() -> None:
    limit = named(examine(replace(ROOMY, files_max=UNLIMITED), THESIS), "fs.file-max")
    assert limit.shown(limit.current) == "unlimited"
    assert limit.as_json()["current"] is None


@pytest.mark.parametrize("plan", [Plan("vax", 1, 1), Plan("netns", 0, 1), Plan("netns", 1, -1)])
def test_a_plan_that_is_none_is_bad_input(plan: Plan) -> None:
    with pytest.raises(InputError):
        examine(ROOMY, plan)


@settings(deadline=None)
@given(FACTS, PLANS)
def test_more_guests_never_need_less(facts: Facts, plan: Plan) -> None:
    fewer = {limit.name: limit.needed for limit in examine(facts, plan)}
    more = {limit.name: limit.needed for limit in examine(facts, replace(plan, guests=plan.guests + 1))}
    assert fewer.keys() == more.keys()
    assert all(more[name] >= fewer[name] for name in fewer)


@settings(deadline=None)
@given(FACTS, PLANS)
def test_capacity_is_the_last_number_of_guests_that_hits_nothing(facts: Facts, plan: Plan) -> None:
    guests, ends_by = capacity(facts, plan)
    if guests >= 1:
        assert hit(facts, replace(plan, guests=guests)) == []
    if ends_by is None:
        assert guests == MOST_GUESTS
    else:
        assert ends_by.name in hit(facts, replace(plan, guests=guests + 1))


@settings(deadline=None)
@given(FACTS, PLANS)
def test_a_remedy_that_gives_a_number_gives_enough(facts: Facts, plan: Plan) -> None:
    for limit in examine(facts, plan):
        assert limit.fix
        for number in re.findall(r"=(\d+)", limit.fix):
            assert int(number) >= limit.needed or limit.name == "vm.overcommit_memory"


@settings(deadline=None)
@given(FACTS, PLANS)
def test_limits_are_plain_data_too(facts: Facts, plan: Plan) -> None:
    for limit in examine(facts, plan):
        plain = limit.as_json()
        assert plain["ok"] is limit.ok
        assert (plain["fix"] == "") is limit.ok


GUESTS = 20


def used(folder: str, _emit: Callable[[dict[str, Any]], None]) -> dict[str, float]:
    """Inside a lab: descriptors and children of this process, per guest with one program."""
    nic = NicSpec("eth0", "02:00:00:00:00:01", addresses=("10.0.0.2/30",))
    before = _descriptors(), _programs()
    with ExitStack() as stack:
        for number in range(GUESTS):
            guest = stack.enter_context(backend("netns").create(GuestSpec("g", (nic,)), Path(folder) / str(number)))
            guest.start(Deadline.after(20, "a guest"))
            stack.enter_context(guest.spawn(["cat"]))
        after = _descriptors(), _programs()
    return {"files": (after[0] - before[0]) / GUESTS, "tasks": (after[1] - before[1]) / GUESTS}


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _programs() -> int:
    return len(list(descendants(int(Path("/proc/self").readlink().name))))


@needs_lab
def test_the_costs_of_a_namespace_are_those_of_guests_that_run(tmp_path: Path) -> None:
    seen = call_in_lab("tests.measure.test_limits:used", str(tmp_path), timeout_s=120)
    assert seen == {"files": COSTS["netns"].runner_files, "tasks": COSTS["netns"].tasks}


def start_all(argument: dict[str, Any], _emit: Callable[[dict[str, Any]], None]) -> int:
    """Inside a lab with few descriptors: how many guests with a program can be started, at most `guests`."""
    import resource

    resource.setrlimit(resource.RLIMIT_NOFILE, (argument["files"], argument["files"]))
    nic = NicSpec("eth0", "02:00:00:00:00:01", addresses=("10.0.0.2/30",))
    with ExitStack() as stack:
        for number in range(argument["guests"]):
            folder = Path(argument["folder"]) / str(number)
            guest = stack.enter_context(backend("netns").create(GuestSpec("g", (nic,)), folder))
            try:
                guest.start(Deadline.after(20, "a guest"))
                stack.enter_context(guest.spawn(["cat"]))
            except Exception:
                return number
    return int(argument["guests"])


@needs_lab
def test_guests_that_fit_the_descriptors_do_start_and_far_more_do_not(tmp_path: Path) -> None:
    files = 200
    fit, ends_by = capacity(Facts(open_files=files), Plan("netns", 1, 0))
    assert ends_by is not None
    assert ends_by.name == "RLIMIT_NOFILE"
    order = {"folder": str(tmp_path), "files": files, "guests": 60}
    started = call_in_lab("tests.measure.test_limits:start_all", order, timeout_s=120)
    spare = RUNNER.runner_files // COSTS["netns"].runner_files
    assert fit + 2 <= started <= fit + 2 + spare  # center and ISP host are guests beside those of the plan
