"""Backends tried out, each in a lab of its own and with a time limit of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

from hostemu.base.background import Background
from hostemu.base.deadline import Deadline
from hostemu.base.errors import DeadlineExceeded, HostemuError
from hostemu.guests import AUTO, BACKENDS, MACHINES, Probe, choose
from hostemu.guests import backend as find_backend
from hostemu.lab import call_in_lab

PROBE_S = 6.0
"""For a probe, its lab included; one that boots a kernel takes one to three seconds."""

GRACE_S = 1.0
"""What the lab of a probe that did not answer may take to end before it is killed."""

ANSWER_S = PROBE_S + 2 * GRACE_S

_INSIDE = "hostemu.runner.backends:probe_inside"
_STUCK = "it hangs: look for what it waits for in the kernel's log (dmesg), or name another backend"


@dataclass(frozen=True)
class Choice:
    """The backend of a run; why: for one that was not named."""

    name: str
    why: str = ""


def probe_inside(name: str, _emit: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Inside a lab: what a backend says of itself."""
    return asdict(find_backend(name).probe())


def try_backend(name: str, *, limit_s: float = PROBE_S, target: str = _INSIDE) -> Probe:
    """What the backend says of itself, or why it says nothing; target: what is called in the lab."""
    try:
        return Probe(**call_in_lab(target, name, timeout_s=limit_s, grace_s=GRACE_S))
    except DeadlineExceeded:
        return Probe(False, f"it gave no answer within {limit_s:g} s", _STUCK)
    except HostemuError as error:
        return Probe(False, one_line(error), error.hint or "run `hostemu doctor` again; if it stays, report it")


def try_backends(names: Iterable[str]) -> dict[str, Probe]:
    """Several of them at the same time; it takes at most ANSWER_S."""
    deadline = Deadline.after(ANSWER_S, "an answer")
    trials = {name: Background(partial(try_backend, name)) for name in names}
    return {name: _answer(trial, deadline) for name, trial in trials.items()}


def _answer(trial: Background[Probe], deadline: Deadline) -> Probe:
    try:
        return trial.result(deadline)
    except DeadlineExceeded:
        return Probe(False, f"its lab did not end within {ANSWER_S:g} s", _STUCK)


def resolve_backend(name: str) -> Choice:
    """The backend itself; for "auto", the machine emulator that works best here.

    InputError when there is none of that name; HostError when auto finds none that works.
    """
    if name != AUTO:
        return Choice(find_backend(name).name)
    return Choice(*choose(try_backends(name for name in MACHINES if name in BACKENDS)))


def one_line(error: HostemuError) -> str:
    """An error as part of a sentence."""
    return error.message if error.found is None else f"{error.message}: {error.found.splitlines()[-1]}"
