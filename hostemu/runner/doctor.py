"""What this machine can run, found by trying."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

from hostemu.base.background import Background
from hostemu.base.deadline import Deadline
from hostemu.base.errors import DeadlineExceeded, HostemuError
from hostemu.guests import AUTO, Probe, choose, offered
from hostemu.lab import call_in_lab, lab_possible
from hostemu.measure.awake import why_not as why_not_awake
from hostemu.measure.limit_facts import Facts, read_facts
from hostemu.measure.limits import Limit, Plan, capacity, examine
from hostemu.runner.backends import GRACE_S, Choice, one_line, try_backends
from hostemu.runner.tools import TOOLS, Tool, install_hint

TIMERS = "punctual timers"
LAB_S = 3.0
"""For the first lab, and for whatever else is asked of the system."""


@dataclass(frozen=True)
class Finding:
    """One thing that was tried: `fix` says what to do when it is not `usable`.

    kind: lab, backend, timers, program, limit or capacity.  figures: more, for programs that read it.
    """

    kind: str
    name: str
    usable: bool
    detail: str
    fix: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The finding as plain data."""
        plain = asdict(self)
        return {**plain.pop("figures"), **plain}


@dataclass(frozen=True)
class Size:
    """A plan and the limits that it meets; room: the most guests of that kind, until `ends_by` is hit."""

    plan: Plan
    limits: Sequence[Limit]
    room: int
    ends_by: Limit | None

    def room_in_words(self) -> str:
        """How many fit, and why no more."""
        kind = f"{self.plan.backend} guests of {self.plan.terminals_per_guest} terminals"
        if self.ends_by is None:
            return f"no limit is known that would be hit by {kind}"
        return f"at most {self.room} {kind} fit here; one more hits: {self.ends_by.name}"


@dataclass(frozen=True)
class Report:
    """Everything that doctor finds out."""

    lab: Finding
    backends: Sequence[Finding]
    timers: Finding
    programs: Sequence[Finding]
    sizes: Sequence[Size]

    def findings(self) -> Iterator[Finding]:
        """All of it, one thing at a time."""
        yield self.lab
        yield from self.backends
        yield self.timers
        yield from self.programs
        for size in self.sizes:
            yield from (_limit_finding(size.plan, limit) for limit in size.limits)
            yield _room_finding(size)


def diagnose(plans: Sequence[Plan]) -> Report:
    """Try everything that a real run needs, within 15 s whatever hangs; then the limits for each plan.

    A plan's backend may be "auto".
    """
    lab = _lab()
    asked = Background(partial(facts_of_lab, usable=lab.usable))
    probes = try_backends(offered()) if lab.usable else dict.fromkeys(offered(), _untried(lab))
    auto = _auto(probes)
    try:
        facts = asked.result(Deadline.after(LAB_S, "the kernel's limits"))
    except DeadlineExceeded:
        facts = Facts()  # nothing is known of them
    sizes = [_size(facts, _concrete(plan, auto)) for plan in plans]
    backends = [*(_backend(name, probe) for name, probe in probes.items()), _auto_finding(auto)]
    return Report(lab, backends, _timers(), [_program(tool) for tool in TOOLS], sizes)


def _lab() -> Finding:
    try:
        usable, detail, fix = Background(lab_possible).result(Deadline.after(LAB_S, "a lab"))
    except DeadlineExceeded as error:
        usable, detail, fix = False, str(error), "look for what it waits for in the kernel's log (dmesg)"
    return Finding("lab", "lab", usable, detail, fix)


def _untried(lab: Finding) -> Probe:
    return Probe(False, f"it was not tried: no lab can be made ({lab.detail})", f"mend the lab: {lab.fix}")


def _backend(name: str, probe: Probe) -> Finding:
    detail = probe.reason if probe.usable else f"unusable because {probe.reason}"
    return Finding("backend", f"backend {name}", probe.usable, detail, "" if probe.usable else probe.fix)


def _auto(probes: Mapping[str, Probe]) -> Choice | HostemuError:
    try:
        return Choice(*choose(probes))
    except HostemuError as error:
        return error


def _auto_finding(auto: Choice | HostemuError) -> Finding:
    if isinstance(auto, Choice):
        return Finding("backend", f"backend {AUTO}", True, f"{auto.name}: {auto.why}", figures={"choice": auto.name})
    return Finding("backend", f"backend {AUTO}", False, one_line(auto), auto.hint or "", {"choice": None})


def _timers() -> Finding:
    reason = why_not_awake()
    if not reason:
        return Finding("timers", TIMERS, True, "cores are kept awake during runs")
    detail = f"late ones may make runs invalid: cores cannot be kept awake: {reason}"
    return Finding("timers", TIMERS, False, detail, "run as root" if os.geteuid() else "")


def _concrete(plan: Plan, auto: Choice | HostemuError) -> Plan:
    if plan.backend != AUTO:
        return plan
    return replace(plan, backend=auto.name if isinstance(auto, Choice) else "qemu")


def _program(tool: Tool) -> Finding:
    found, lacking = tool.found()
    figures = {"purpose": tool.purpose, "missing": lacking}
    if lacking:
        detail = f"not found: {', '.join(lacking)} (for {tool.purpose})"
        return Finding("program", tool.name, False, detail, install_hint(lacking), figures)
    return Finding("program", tool.name, True, found, figures=figures)


def shared_memory_bytes(_argument: Any, _emit: Callable[[dict[str, Any]], None]) -> int:
    """Inside a lab: what its /dev/shm holds."""
    status = os.statvfs("/dev/shm")
    return status.f_bavail * status.f_frsize


def facts_of_lab(*, usable: bool = True) -> Facts:
    """What the kernel allows; of /dev/shm, the lab's own counts.  usable: whether a lab can be made."""
    facts = read_facts()
    with suppress(HostemuError):
        if usable:
            target = "hostemu.runner.doctor:shared_memory_bytes"
            size = call_in_lab(target, None, timeout_s=LAB_S, grace_s=GRACE_S)
            return replace(facts, shm_bytes=size)
    return facts


def _size(facts: Facts, plan: Plan) -> Size:
    return Size(plan, examine(facts, plan), *capacity(facts, plan))


def _limit_finding(plan: Plan, limit: Limit) -> Finding:
    figures = {**limit.as_json(), "plan": asdict(plan)}
    case = f", if {limit.only_if}" if limit.only_if else ""
    detail = f"{limit.shown(limit.current)} here, {limit.shown(limit.needed)} needed by {plan}{case}"
    return Finding("limit", limit.name, not limit.is_hit, detail, "" if limit.ok else limit.fix, figures)


def _room_finding(size: Size) -> Finding:
    figures = {"room": size.room, "plan": asdict(size.plan), "ends_by": size.ends_by and size.ends_by.name}
    enough = size.plan.guests <= size.room
    fix = "" if enough or size.ends_by is None else size.ends_by.fix
    return Finding("capacity", f"room for {size.plan.backend} guests", enough, size.room_in_words(), fix, figures)
