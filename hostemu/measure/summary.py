"""The summary of a campaign: every cell with its figures, their statistics, and what speaks against them.

Pure: derived from the journal, so that it can be made again, from the journal of any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from hostemu.base.errors import RecordError
from hostemu.measure.bench import CAMPAIGN_LIMITS
from hostemu.measure.definition import Campaign
from hostemu.measure.journal import Content, Failure, Measurement, values_of
from hostemu.measure.plan import Cell, cells
from hostemu.measure.refusals import refusal
from hostemu.measure.statistics import analyse

JSON = dict[str, Any]

UNITS = {"_bps": "bit/s", "_per_s": "1/s", "_bytes": "B", "_ns": "ns", "_s": "s"}
"""By the end of a value's name, the longest first."""


def unit_of(name: str) -> str:
    """The unit of a value, which its name ends in; empty for plain numbers."""
    return next((unit for end, unit in UNITS.items() if name.endswith(end)), "")


def summarise(content: Content) -> JSON:
    """What `hostemu calibrate` leaves and prints as JSON.  RecordError when the definition is not understood."""
    campaign = _campaign(content)
    session = content.sessions[-1] if content.sessions else {}
    backends = _backends(content)
    moments = [content.at, *(m.at for m in content.measurements), *(f.at for f in content.failures)]
    return {
        "campaign": campaign.name,
        "title": campaign.title,
        "definition": dict(content.definition),
        "started_at": content.at,
        "last_at": max(moments),
        "sessions": len(content.sessions),
        "host": session.get("host", {}),
        "tools": session.get("tools", {}),
        "backends": backends,
        "cells": [_cell(content, campaign, cell, session, backends) for cell in cells(campaign, list(backends))],
    }


def is_limited(cell: Mapping[str, Any]) -> bool:
    """Whether a limit of the campaign's own ended a ramp or search of a cell: the figure is at least its value."""
    return any(note.startswith(CAMPAIGN_LIMITS) for note in cell["notes"])


def _campaign(content: Content) -> Campaign:
    try:
        return Campaign.model_validate(content.definition)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise RecordError(
            "the journal's definition is not one that this version understands",
            found=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
        ) from None


def _backends(content: Content) -> JSON:
    """Every backend that any session has asked for, with what it said last."""
    found: JSON = {}
    for session in content.sessions:
        found.update(session.get("backends", {}))
    return found


def _cell(content: Content, campaign: Campaign, cell: Cell, session: Mapping[str, Any], backends: JSON) -> JSON:
    measured = [m for m in content.measurements if m.cell == cell and not m.warm_up]
    failed = [f for f in content.failures if f.cell == cell]
    reason = None if measured else _reason(cell, session, backends, failed)
    return {
        **cell.as_json(),
        "wanted": getattr(campaign, cell.figure).repeats,
        "measured": len(measured),
        "quantities": {name: _quantity(measured, name) for name in _names(measured)},
        "warnings": list(_disturbances(campaign, measured)),
        "notes": sorted({str(m.raw["ended_by"]) for m in measured if "ended_by" in m.raw}),
        "failures": [_failure(failure) for failure in failed],
        "reason": reason,
    }


def _reason(cell: Cell, session: Mapping[str, Any], backends: JSON, failed: Sequence[Failure]) -> str:
    """Why a cell has no value."""
    refused = refusal(cell, backends[cell.backend], session.get("tools", {}))
    if refused is not None:
        return refused
    return _failure(failed[-1]) if failed else "not measured yet"


def _failure(failure: Failure) -> str:
    """A failure in one line."""
    error = failure.error
    found = f" ({' '.join(str(error['found']).split())[:200]})" if error.get("found") else ""
    return f"repeat {failure.repeat}: {error['message']}{found}"


def _names(measured: Sequence[Measurement]) -> list[str]:
    return list(dict.fromkeys(name for m in measured for name in m.values))


def _quantity(measured: Sequence[Measurement], name: str) -> JSON:
    values = values_of(measured, name)
    return {"unit": unit_of(name), "values": values, **analyse(values).as_json()}


def _disturbances(campaign: Campaign, measured: Sequence[Measurement]) -> Iterator[str]:
    """Warnings about the machine rather than about the values."""
    limits = {"busy": campaign.quiet.busy, "steal": campaign.quiet.steal}
    words = {"busy": "the machine was busy", "steal": "time was stolen by the hypervisor"}
    for name, limit in limits.items():
        over = [m.load_before[name] for m in measured if m.load_before.get(name, 0.0) > limit]
        if over:
            yield f"{words[name]} before {len(over)} of {len(measured)} measurements (up to {max(over):.0%})"
    swapped = sum(m.load.get("swapped_pages", 0) > 0 for m in measured)
    if swapped:
        yield f"the machine swapped during {swapped} of {len(measured)} measurements"
