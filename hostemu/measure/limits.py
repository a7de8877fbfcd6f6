"""Which limits of the kernel a planned number of guests will hit: rules over facts, without I/O."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from hostemu.base.errors import InputError
from hostemu.measure.limit_facts import UNLIMITED, Facts

HOSTS_BESIDE = 2
"""The center and the ISP host are guests, too."""

LIST_SIZE = 1500
"""Terminals per ISP server program, as in the thesis."""

BRIDGE_PORTS = 1023
"""BR_MAX_PORTS is 1024 and port 0 is not used: net/bridge/br_private.h, find_portno in br_if.c."""

PAGE_BYTES = 4096
MOST_GUESTS = 1 << 21
MAX_PID_MAX = 4_194_304
"""PID_MAX_LIMIT of 64-bit kernels, linux/threads.h."""


@dataclass(frozen=True)
class Plan:
    """Guests of a backend to be run; memory_bytes: of each, where the backend has memory of its own."""

    backend: str
    guests: int
    terminals_per_guest: int
    memory_bytes: int = 32 << 20

    def __str__(self) -> str:
        return f"{self.guests} {self.backend} guests of {self.terminals_per_guest} terminals"

    @property
    def hosts(self) -> int:
        """All guests of the run."""
        return self.guests + HOSTS_BESIDE

    @property
    def terminals(self) -> int:
        """Terminals in all."""
        return self.guests * self.terminals_per_guest


THESIS = Plan("netns", 32, 200)
"""The size of the thesis' largest experiment (table 5)."""


@dataclass(frozen=True)
class Cost:
    """What one more guest takes of this kernel.

    tasks: processes and threads.  runner_files: descriptors of the runner.  files: open files, the runner's included.
    memory_bytes: a guest's own.  commit_bytes: what it may write to, at most, beside shared memory.
    """

    tasks: int
    runner_files: int
    files: int
    memory_bytes: int
    commit_bytes: int


COSTS: Mapping[str, Cost] = {
    "netns": Cost(tasks=1, runner_files=6, files=16, memory_bytes=11 << 20, commit_bytes=24 << 20),
    "uml": Cost(tasks=5, runner_files=6, files=24, memory_bytes=6 << 20, commit_bytes=8 << 20),
    "qemu": Cost(tasks=5, runner_files=7, files=80, memory_bytes=20 << 20, commit_bytes=96 << 20),
    "kvm": Cost(tasks=5, runner_files=7, files=80, memory_bytes=20 << 20, commit_bytes=96 << 20),
}
"""By /proc while guests of 32 MB ran; memory as results/guests.txt has it, rounded up.

netns: one program of 9.8 MB; of the kernel's memory 0.5 MB.
uml: 4 processes, and one more while a program runs in the guest.
qemu, kvm: 4 threads, and one more for input and output; the copy of a booted template.
"""

RUNNER = Cost(tasks=32, runner_files=64, files=256, memory_bytes=400 << 20, commit_bytes=1 << 30)
"""hostemu itself, the lab's processes, the center and the ISP server programs of a thesis-sized run."""

TERMINAL_BYTES = 8 << 10
"""A terminal: 2.7 kB in the farm, and two sockets of the kernel's while it is on."""


@dataclass(frozen=True)
class Limit:
    """One limit: what it is now and what the plan needs, in use by others included.

    name: the kernel's.  what: it limits this.  unit: "" for a number, or "bytes".
    only_if: the plan hits it in this case only; empty: in every case.  fix: what to do when it is not `ok`.
    """

    name: str
    what: str
    current: int
    needed: int
    fix: str
    unit: str = ""
    only_if: str = ""

    @property
    def ok(self) -> bool:
        """Whether the plan stays within it."""
        return self.needed <= self.current

    @property
    def is_hit(self) -> bool:
        """Whether the plan hits it, whatever the case."""
        return not self.ok and not self.only_if

    def shown(self, value: int) -> str:
        """One of its values for a reader."""
        if value == UNLIMITED:
            return "unlimited"
        return f"{value / 2**30:.1f} GiB" if self.unit == "bytes" else str(value)

    def as_json(self) -> dict[str, Any]:
        """The limit as plain data; current is null where there is no limit."""
        current = None if self.current == UNLIMITED else self.current
        return {**asdict(self), "current": current, "ok": self.ok, "fix": "" if self.ok else self.fix}


def examine(facts: Facts, plan: Plan) -> list[Limit]:
    """Every limit that the facts tell of; InputError for a backend whose costs are not known."""
    if plan.backend not in COSTS:
        raise InputError(
            f"the costs of a guest of {plan.backend!r} are not known", expected=", ".join(COSTS), found=plan.backend
        )
    if plan.guests < 1 or plan.terminals_per_guest < 0:
        found = f"{plan.guests} guests of {plan.terminals_per_guest} terminals"
        raise InputError("a plan without guests", expected="at least one guest, 0 terminals or more", found=found)
    return [limit for rule in RULES for limit in rule(facts, plan, COSTS[plan.backend])]


def capacity(facts: Facts, plan: Plan) -> tuple[int, Limit | None]:
    """The most guests, like those of the plan, that hit no limit, and the limit that one more hits (None: none)."""

    def hit(guests: int) -> Limit | None:
        return next((limit for limit in examine(facts, replace(plan, guests=guests)) if limit.is_hit), None)

    low, high = 0, MOST_GUESTS
    if hit(high) is None:
        return high, None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if hit(middle) is None else (low, middle)
    return low, hit(high)


Rule = Callable[[Facts, Plan, Cost], Iterator[Limit]]


def _tasks(plan: Plan, cost: Cost) -> int:
    return RUNNER.tasks + plan.hosts * cost.tasks + _isp_programs(plan)


def _isp_programs(plan: Plan) -> int:
    """ISP server programs; each is a process of this kernel, or counted as if it were."""
    return math.ceil(plan.terminals / LIST_SIZE)


def _processes(facts: Facts, plan: Plan, cost: Cost) -> Iterator[Limit]:
    """Of the system, the user and the control group; proc_sys_kernel(5), getrlimit(2), cgroups(7)."""
    more = _tasks(plan, cost)
    if facts.pid_max is not None:
        needed = facts.tasks + more
        fix = f"sysctl -w kernel.pid_max={_rounded(needed)}" if needed <= MAX_PID_MAX else "fewer guests"
        yield Limit("kernel.pid_max", "process numbers", facts.pid_max, needed, fix)
    if facts.threads_max is not None:
        needed = facts.tasks + more
        fix = f"sysctl -w kernel.threads-max={_rounded(needed)}"
        yield Limit("kernel.threads-max", "processes and threads", facts.threads_max, needed, fix)
    if facts.own_tasks_max is not None:
        needed = facts.own_tasks + more
        allowed = UNLIMITED if facts.is_root else facts.own_tasks_max  # capabilities of the machine lift it
        yield Limit(
            "RLIMIT_NPROC", "processes and threads of a user", allowed, needed, f"ulimit -u {_rounded(needed)}"
        )
    if facts.group_tasks is not None:
        group = facts.group_tasks
        needed = group.used + more
        yield Limit(
            "pids.max",
            "processes and threads of the control group",
            group.limit,
            needed,
            _raise_group(group.file, needed),
        )


def _files(facts: Facts, plan: Plan, cost: Cost) -> Iterator[Limit]:
    """Open files of one process, and of all; getrlimit(2), proc_sys_fs(5)."""
    if facts.open_files is not None:
        in_runner = RUNNER.runner_files + plan.hosts * cost.runner_files + 3 * _isp_programs(plan)
        in_farm = RUNNER.runner_files + 2 * plan.terminals_per_guest if plan.backend == "netns" else 0
        needed = max(in_runner, in_farm)
        fix = f"ulimit -Hn {_rounded(needed)}"
        if facts.nr_open is not None and _rounded(needed) > facts.nr_open:
            fix = f"sysctl -w fs.nr_open={_rounded(needed)}; {fix}"
        yield Limit("RLIMIT_NOFILE", "open files of a process", facts.open_files, needed, fix)
    if facts.files_max is not None:
        sockets = 2 * plan.terminals if plan.backend == "netns" else 0
        needed = facts.files + RUNNER.files + plan.hosts * cost.files + sockets
        yield Limit("fs.file-max", "open files", facts.files_max, needed, f"sysctl -w fs.file-max={_rounded(needed)}")


def _namespaces(facts: Facts, plan: Plan, _cost: Cost) -> Iterator[Limit]:
    """Namespaces that this user may make, in all its labs; namespaces(7).  How many it has is not told.

    Kinds of which a lab needs but one are named only when even that is too much.
    """
    per_host = {"net": plan.hosts, "pid": plan.hosts + _isp_programs(plan)} if plan.backend == "netns" else {}
    for kind, limit in facts.namespaces.items():
        needed = 1 + per_host.get(kind, 0)
        name, what = f"user.max_{kind}_namespaces", f"{kind} namespaces of a user"
        may_matter = kind in per_host or (needed > limit and not (kind == "user" and facts.is_root))
        if may_matter:
            yield Limit(name, what, limit, needed, f"sysctl -w {name}={_rounded(needed)}")


def _memory(facts: Facts, plan: Plan, cost: Cost) -> Iterator[Limit]:
    """Memory of the machine, of the control group, and of the tmpfs that holds the memory of UML guests."""
    guests = plan.hosts * cost.memory_bytes + plan.terminals * TERMINAL_BYTES
    needed = RUNNER.memory_bytes + guests
    if facts.memory_available_bytes is not None:
        fix = "fewer guests, or a machine with more memory"
        yield Limit("MemAvailable", "memory", facts.memory_available_bytes, needed, fix, "bytes")
    if facts.group_memory is not None:
        group = facts.group_memory
        total = group.used + needed
        name = group.file.rpartition("/")[2]
        yield Limit(name, "memory of the control group", group.limit, total, _raise_group(group.file, total), "bytes")
    if facts.shm_bytes is not None and plan.backend == "uml":
        largest = plan.hosts * plan.memory_bytes
        fix = "fewer guests, or a machine with more memory: a tmpfs holds half of it"
        yield Limit("/dev/shm", "memory files of guests", facts.shm_bytes, min(guests, largest), fix, "bytes")


def _mappings(facts: Facts, plan: Plan, cost: Cost) -> Iterator[Limit]:
    """Mappings of one process, and promised memory; proc_sys_vm(5).

    A UML guest's process maps each of its pages by itself (arch/um/kernel/tlb.c), at worst all of the guest's memory.
    """
    if facts.max_map_count is not None and plan.backend == "uml":
        needed = plan.memory_bytes // PAGE_BYTES + 1000
        fix = f"sysctl -w vm.max_map_count={_rounded(needed)}"
        yield Limit("vm.max_map_count", "mappings of a process", facts.max_map_count, needed, fix)
    if facts.commit_limit_bytes is not None:
        needed = facts.committed_bytes + RUNNER.commit_bytes + plan.hosts * cost.commit_bytes
        allowed = facts.commit_limit_bytes if facts.commit_strict else UNLIMITED
        fix = "sysctl -w vm.overcommit_memory=0"
        yield Limit("vm.overcommit_memory", "promised memory", allowed, needed, fix, "bytes")


def _bridge(facts: Facts, plan: Plan, _cost: Cost) -> Iterator[Limit]:
    """Limits of the kernel's bridge.  GINE has none of them: it has no ports but files, and all neighbours are told.

    The neighbour table is one for all namespaces; permanent entries do not count (net/core/neighbour.c, gc_entries).
    """
    case = "guests are joined by a bridge in place of GINE"
    yield Limit(
        "BR_MAX_PORTS", "ports of a bridge", BRIDGE_PORTS, plan.hosts, "use GINE, or several bridges", only_if=case
    )
    if facts.neighbours_max is not None:
        # The host knows each guest; guests that share this kernel know the host.
        needed = plan.hosts * (2 if plan.backend == "netns" else 1)
        fix = f"sysctl -w net.ipv4.neigh.default.gc_thresh3={_rounded(needed)}, or permanent neighbours"
        yield Limit("gc_thresh3", "neighbours", facts.neighbours_max, needed, fix, only_if=case)


RULES: tuple[Rule, ...] = (_processes, _files, _namespaces, _memory, _mappings, _bridge)


def _raise_group(file: str, needed: int) -> str:
    return f"echo {_rounded(needed)} > {file}"


def _rounded(needed: int) -> int:
    """The next power of two that leaves room for a quarter more, and for what others need."""
    return max(4096, 1 << (needed + needed // 4).bit_length())
