"""Why a cell of a campaign cannot be measured here: known before anything is started."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hostemu.base.packages import how_to_install
from hostemu.measure.plan import LOOPBACK, Cell

BARE_HOST_SAID: Mapping[str, Any] = {
    "usable": True,
    "reason": "the machine itself, without guests",
    "fix": "",
    "identity": {},
    "wirings": [LOOPBACK],
    "farm": False,
}


def refusal(cell: Cell, said: Mapping[str, Any], tools: Collection[str]) -> str | None:
    """The reason, with what to do about it where that is known; None when the cell can be measured.

    said: what the cell's backend says of itself: usable, reason, fix, wirings, farm (whether terminals run in it).
    tools: the programs and files for measuring that are there.
    """
    if not said["usable"]:
        return f"{said['reason']}; to do: {said['fix']}" if said["fix"] else str(said["reason"])
    wiring = cell.values.get("wiring")
    if wiring is not None and wiring not in said["wirings"]:
        return f"{cell.backend} guests have no wiring {wiring!r}, only {', '.join(said['wirings'])}"
    if cell.figure in ("terminals", "load") and not said["farm"]:
        return f"there is no terminal program for {cell.backend} guests"
    return _missing_tools(cell.figure, tools)


def _missing_tools(figure: str, tools: Collection[str]) -> str | None:
    if figure in ("iperf", "packets") and not {"iperf", "iperf3"} & set(tools):
        return f"neither iperf nor iperf3 is here; to do: {how_to_install(['iperf'])}"
    if figure == "sharing" and "iperf" not in tools:
        return f"iperf is not here; to do: {how_to_install(['iperf'])}"
    missing = sorted({"tbench", "tbench_srv", "client.txt"} - set(tools)) if figure == "tbench" else []
    if missing:
        return f"not found: {', '.join(missing)}; to do: {how_to_install(['dbench'])}"
    return None


def unknown_backend(name: str, version: str) -> dict[str, Any]:
    """What is said of a backend that a definition wants and this version does not have."""
    return {
        "usable": False,
        "reason": f"hostemu {version} has no {name} guests",
        "fix": "",
        "identity": {},
        "wirings": [],
        "farm": False,
    }
