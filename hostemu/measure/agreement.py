"""What must agree between the sessions of a campaign, or their values may not be pooled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from hostemu.base.errors import InputError

HOST_FACTS = ("cpu_model", "cores", "kernel", "hypervisor", "hostemu", "root")
MEMORY_TOLERANCE = 0.01
"""The same machine's memory differs by a little from boot to boot."""


@dataclass(frozen=True)
class Session:
    """One go at a campaign.

    host: host facts.  backends: by name, what each backend says that it is made of (versions, checksums).
    tools: by name, checksums of the programs that measure.
    """

    host: Mapping[str, Any]
    backends: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)


def disagreements(old: Session, new: Session, measured: Iterable[str]) -> list[str]:
    """What differs, as "WHAT: OLD, now NEW"; measured: backends that have values in the old session."""
    found = [
        _difference(f"host {name}", old.host.get(name), new.host.get(name))
        for name in HOST_FACTS
        if old.host.get(name) != new.host.get(name)
    ]
    before, now = (float(session.host.get("memory_bytes", 0)) for session in (old, new))
    if abs(before - now) > MEMORY_TOLERANCE * max(before, now):
        found.append(_difference("host memory_bytes", round(before), round(now)))
    for name in sorted(set(measured) & old.backends.keys() & new.backends.keys()):
        found += _differences(f"backend {name}", old.backends[name], new.backends[name])
    both = old.tools.keys() & new.tools.keys()  # a program that came or went makes other figures
    return found + _differences(
        "program", *({name: tools[name] for name in both} for tools in (old.tools, new.tools))
    )


def _differences(what: str, old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    names = [*old, *(name for name in new if name not in old)]
    return [
        _difference(f"{what} {name}", old.get(name), new.get(name))
        for name in names
        if old.get(name) != new.get(name)
    ]


def _difference(what: str, old: object, new: object) -> str:
    before, now = ("nothing" if value is None else repr(value) for value in (old, new))
    return f"{what}: {before}, now {now}"


def require_agreement(where: str, differences: list[str]) -> None:
    """InputError, saying what differs, unless nothing does."""
    if differences:
        raise InputError(
            f"the campaign in {where} cannot be continued: what is measured now may not be pooled with it",
            expected="the same definition, machine, versions and programs",
            found="; ".join(differences),
            hint="name another folder with --output",
        )
