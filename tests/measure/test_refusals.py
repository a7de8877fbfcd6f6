"""Reasons that are known before anything is started."""

from __future__ import annotations

from typing import Any

import pytest

from hostemu.measure.plan import LOOPBACK, Cell
from hostemu.measure.refusals import BARE_HOST_SAID, refusal, unknown_backend

SAID = {"usable": True, "reason": "fine", "fix": "", "wirings": ["gine"], "farm": True}
TOOLS = ("iperf", "tbench", "tbench_srv", "client.txt")


@pytest.mark.parametrize(
    ("figure", "parameters", "said", "tools", "words"),
    [
        ("boot", {}, {}, TOOLS, None),
        (
            "boot",
            {},
            {"usable": False, "reason": "no kernel", "fix": "hostemu kernel build"},
            TOOLS,
            "no kernel; to do: ",
        ),
        ("boot", {}, {"usable": False, "reason": "no kernel"}, TOOLS, "no kernel"),
        ("iperf", {"wiring": "gine"}, {}, TOOLS, None),
        ("iperf", {"wiring": "gine"}, {}, ("iperf3",), None),
        ("iperf", {"wiring": "direct"}, {}, TOOLS, "uml guests have no wiring 'direct', only gine"),
        ("iperf", {"wiring": "gine"}, {}, (), "neither iperf nor iperf3"),
        ("packets", {"wiring": "gine"}, {}, (), "neither iperf nor iperf3"),
        ("sharing", {"wiring": "gine"}, {}, ("iperf3",), "iperf is not here; to do: "),
        ("router", {"wiring": "gine"}, {}, (), None),
        ("tbench", {"wiring": "gine"}, {}, ("tbench",), "not found: client.txt, tbench_srv"),
        ("terminals", {}, {"farm": False}, TOOLS, "no terminal program for uml guests"),
        ("terminals", {}, {}, TOOLS, None),
    ],
)
def test_a_cell_is_refused_with_the_reason(
    figure: str, parameters: dict[str, Any], said: dict[str, Any], tools: tuple[str, ...], words: str | None
) -> None:
    found = refusal(Cell(figure, "uml", tuple(parameters.items())), {**SAID, **said}, tools)
    assert (found is None) == (words is None)
    assert words is None or words in str(found)


def test_the_bare_host_needs_programs_only() -> None:
    cell = Cell("iperf", "host", (("wiring", LOOPBACK),))
    assert refusal(cell, BARE_HOST_SAID, TOOLS) is None
    assert refusal(cell, BARE_HOST_SAID, ()) is not None


def test_a_backend_that_this_version_lacks_is_refused() -> None:
    assert refusal(Cell("boot", "xen"), unknown_backend("xen", "9.9"), TOOLS) == "hostemu 9.9 has no xen guests"
