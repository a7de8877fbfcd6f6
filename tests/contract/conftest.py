"""Guests of every kind that this machine has, played in labs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from hostemu.guests import BACKENDS
from hostemu.lab import call_in_lab
from tests.contract import scenarios
from tests.lab.needs import POSSIBLE, REASON

IN_THIS_PROCESS = {"fake"}
MUST_HAVE = frozenset(os.environ.get("HOSTEMU_MUST_HAVE", "").split())
"""Backends whose tests may not be skipped: where everything is known to be there, a probe that fails is a fault."""

TIMEOUT_S = 240.0


@dataclass(frozen=True)
class Kind:
    """A kind of guest: of which backend, and whether it starts as a copy."""

    backend: str
    is_copy: bool = False


KINDS = {**{name: Kind(name) for name in BACKENDS}, "qemu copy": Kind("qemu", is_copy=True)}


@dataclass(frozen=True)
class Play:
    """Plays scenarios on a kind of guest."""

    kind: Kind
    folder: Path

    def __call__(self, function: str, module: str = "scenarios") -> Any:
        """The result of tests.contract.MODULE:FUNCTION."""
        argument = {"backend": self.kind.backend, "is_copy": self.kind.is_copy, "folder": str(self.folder)}
        if self.kind.backend in IN_THIS_PROCESS:
            return getattr(scenarios, function)(argument, lambda _event: None)
        return call_in_lab(f"tests.contract.{module}:{function}", argument, timeout_s=TIMEOUT_S)


class Seen:
    """What was seen in checks that share a guest; each may have failed by itself."""

    def __init__(self, results: dict[str, dict[str, Any]]) -> None:
        self._results = results

    def __getitem__(self, check: str) -> Any:
        result = self._results[check]
        if "error" in result:
            pytest.fail(f"{check}: {result['error']}", pytrace=False)
        return result["seen"]


@lru_cache
def probe(name: str) -> dict[str, Any]:
    """What a backend says of itself, asked once."""
    argument = {"backend": name}
    if name in IN_THIS_PROCESS:
        return scenarios.probe(argument, lambda _event: None)
    found: dict[str, Any] = call_in_lab("tests.contract.scenarios:probe", argument, timeout_s=TIMEOUT_S)
    return found


def require(name: str) -> None:
    """Skip, with the reason, where guests of this backend cannot be had; fail where they must be."""
    reason = "" if name in IN_THIS_PROCESS or POSSIBLE else f"no lab on this machine: {REASON}"
    if not reason:
        found = probe(name)
        reason = "" if found["usable"] else f"backend {name}: {found['reason']}"
    if reason and name in MUST_HAVE:
        pytest.fail(f"{reason}; HOSTEMU_MUST_HAVE says that it is there", pytrace=False)
    if reason:
        pytest.skip(reason)


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> Kind:
    """A kind of guest."""
    return KINDS[request.param]


@pytest.fixture(scope="module")
def play(kind: Kind, tmp_path_factory: pytest.TempPathFactory) -> Play:
    """Plays on this kind of guest, where this machine has it."""
    require(kind.backend)
    return Play(kind, tmp_path_factory.mktemp("guests"))


@pytest.fixture(scope="module")
def seen(play: Play) -> Seen:
    """What was seen in the checks that share a guest."""
    return Seen(play("shared"))
