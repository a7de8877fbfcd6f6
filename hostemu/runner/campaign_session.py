"""What a session of a campaign has to do with: host, backends and what they say of themselves, programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hostemu import __version__
from hostemu.base.errors import HostemuError
from hostemu.guests import AUTO, BACKENDS
from hostemu.guests import backend as find_backend
from hostemu.measure.definition import BARE_HOST, Campaign
from hostemu.measure.host import host_facts
from hostemu.measure.refusals import BARE_HOST_SAID, unknown_backend
from hostemu.measure.tools import present_tools
from hostemu.measure.wiring import wirings_of
from hostemu.runner.backends import one_line, resolve_backend, try_backend
from hostemu.runner.farms import FARMS
from hostemu.runner.play import require_lab

PROBE_S = 60.0
"""For a backend to show that it works; more than `hostemu doctor` gives it, since nobody is waiting."""


def session_facts(campaign: Campaign, backends: Sequence[str]) -> dict[str, Any]:
    """The facts of a new session, as the journal keeps them.

    InputError for a backend that nobody knows; HostError where no lab can be made.
    """
    known = {name: _known(name, campaign) for name in backends}
    require_lab()
    return {
        "version": __version__,
        "host": host_facts(),
        "backends": dict(_asked(name) if said is None else (name, said) for name, said in known.items()),
        "tools": present_tools(),
    }


def _known(name: str, campaign: Campaign) -> Mapping[str, Any] | None:
    """What is known of a backend without asking it."""
    if name == BARE_HOST:
        return BARE_HOST_SAID
    if name not in BACKENDS and name in campaign.backends:
        return unknown_backend(name, __version__)
    if name != AUTO:
        find_backend(name)
    return None


def _asked(name: str) -> tuple[str, dict[str, Any]]:
    """A backend's own name, and what it says of itself; one that fails to say it is not usable."""
    name = resolve_backend(name).name
    backend = find_backend(name)
    said: dict[str, Any] = {"wirings": wirings_of(backend), "farm": name in FARMS, "identity": {}}
    try:
        backend.require(None)
        found = try_backend(name, limit_s=PROBE_S)
        return name, {**said, **asdict(found), "identity": backend.identity() if found.usable else {}}
    except HostemuError as error:
        return name, {**said, "usable": False, "reason": one_line(error), "fix": error.hint or ""}
