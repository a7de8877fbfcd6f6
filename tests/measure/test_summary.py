"""Summaries of campaigns, made from journals."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from hostemu.base.errors import RecordError
from hostemu.measure.journal import Content, Failure, Measurement
from hostemu.measure.plan import Cell
from hostemu.measure.summary import summarise, unit_of
from tests.measure.builders import boot, document, session

SAID = {"usable": True, "reason": "fine", "fix": "", "identity": {}, "wirings": ["gine", "direct"], "farm": True}
UML = {"usable": False, "reason": "no kernel", "fix": "build one", "identity": {}, "wirings": [], "farm": False}


def content(*entries: Measurement | Failure, **backends: Any) -> Content:
    """The content of a journal of boot times on netns and UML guests."""
    definition = document(iperf=None, memory=None, guests=None, costs=None)
    entry = {**session(), "backends": {"netns": SAID, "uml": UML, **backends}}
    return Content(
        definition,
        "2026-01-01T00:00:00.000+00:00",
        [entry],
        [item for item in entries if isinstance(item, Measurement)],
        [item for item in entries if isinstance(item, Failure)],
    )


def cell(summary: dict[str, Any], backend: str) -> dict[str, Any]:
    """The one cell of a backend."""
    (found,) = [cell for cell in summary["cells"] if cell["backend"] == backend]
    return dict(found)


def failure(repeat: int) -> Failure:
    error = {"type": "GuestError", "message": "it died", "found": "signal 9\n  in the night", "expected": None}
    return Failure(Cell("boot", "netns"), repeat, "2026-01-01T00:01:00.000+00:00", error)


def test_values_are_pooled_in_the_order_of_time_without_warm_up() -> None:
    measured = [boot(2, 0.2), boot(1, 0.1), boot(3, 9.0, warm_up=True), boot(3, 0.3)]
    summary = summarise(content(*measured))
    found = cell(summary, "netns")
    assert (found["wanted"], found["measured"]) == (4, 3)
    quantity = found["quantities"]["boot_s"]
    assert quantity["values"] == [0.1, 0.2, 0.3]
    assert quantity["mean"] == pytest.approx(0.2)
    assert quantity["unit"] == "s"
    assert quantity["student"]["low"] < 0.2 < quantity["student"]["high"]
    assert any("unstable" in warning for warning in quantity["warnings"])
    assert found["reason"] is None


def test_a_backend_that_does_not_work_has_a_reason_and_never_a_number() -> None:
    found = cell(summarise(content(boot(1))), "uml")
    assert found["quantities"] == {}
    assert found["reason"] == "no kernel; to do: build one"


def test_a_cell_that_failed_has_its_last_failure_as_reason() -> None:
    found = cell(summarise(content(failure(1), failure(2))), "netns")
    assert found["reason"] == "repeat 2: it died (signal 9 in the night)"
    assert len(found["failures"]) == 2
    assert cell(summarise(content()), "netns")["reason"] == "not measured yet"
    assert cell(summarise(content(boot(1), failure(2))), "netns")["reason"] is None


def test_a_disturbed_machine_is_a_warning() -> None:
    measured = [
        boot(1, load_before={"busy": 0.05, "steal": 0.0}),
        boot(2, load_before={"busy": 0.5, "steal": 0.1}, load={"swapped_pages": 4}),
        boot(3, load_before={"busy": 0.2, "steal": 0.0}),
    ]
    assert cell(summarise(content(*measured)), "netns")["warnings"] == [
        "the machine was busy before 2 of 3 measurements (up to 50%)",
        "time was stolen by the hypervisor before 1 of 3 measurements (up to 10%)",
        "the machine swapped during 1 of 3 measurements",
    ]


def test_what_ended_ramps_is_told_once() -> None:
    measured = [boot(repeat, raw={"ended_by": "the budget"}) for repeat in (1, 2)]
    assert cell(summarise(content(*measured)), "netns")["notes"] == ["the budget"]


def test_backends_of_all_sessions_are_there_with_what_they_said_last() -> None:
    made = content(boot(1))
    made.sessions.append({**session(), "backends": {"kvm": UML, "uml": {**SAID, "reason": "now it works"}}})
    summary = summarise(made)
    assert list(summary["backends"]) == ["netns", "uml", "kvm"]
    assert summary["backends"]["uml"]["reason"] == "now it works"
    assert cell(summary, "uml")["reason"] == "not measured yet"
    assert summary["sessions"] == 2


def test_a_definition_of_another_version_is_named() -> None:
    strange = dataclasses.replace(content(), definition={"schema": 7})
    with pytest.raises(RecordError, match="not one that this version understands"):
        summarise(strange)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("iperf_bps", "bit/s"),
        ("packets_per_s", "1/s"),
        ("memory_bytes", "B"),
        ("boot_s", "s"),
        ("isp_refused_ns", "ns"),
        ("guests", ""),
        ("steps", ""),
    ],
)
def test_a_values_name_tells_its_unit(name: str, unit: str) -> None:
    assert unit_of(name) == unit
