"""The diagnosis of this machine, held against what it is made of."""

from __future__ import annotations

import json
import time

import pytest

from hostemu.base.errors import HostError
from hostemu.guests import Probe, offered
from hostemu.lab import lab_possible
from hostemu.measure.limits import THESIS, Plan
from hostemu.runner import doctor
from hostemu.runner.doctor import Finding, Report, diagnose
from hostemu.runner.tools import TOOLS

PLANS = [THESIS, Plan("auto", 2000, 100)]


@pytest.fixture(scope="module")
def report() -> Report:
    start_s = time.monotonic()
    made = diagnose(PLANS)
    assert time.monotonic() - start_s < 15
    return made


def test_the_lab_is_as_it_is_found_by_making_one(report: Report) -> None:
    usable, detail, fix = lab_possible()
    assert report.lab == Finding("lab", "lab", usable, detail, fix)


def test_every_backend_and_auto_has_an_answer_and_the_broken_ones_a_remedy(report: Report) -> None:
    names = [finding.name for finding in report.backends]
    assert names == [*(f"backend {name}" for name in offered()), "backend auto"]
    for finding in report.backends:
        assert finding.detail
        assert finding.usable or finding.fix
        assert finding.usable or "unusable because" in finding.detail


def test_auto_is_a_usable_machine_emulator_or_none(report: Report) -> None:
    usable = {finding.name.split()[1] for finding in report.backends if finding.usable} - {"auto"}
    auto = report.backends[-1]
    machines = usable & {"kvm", "qemu"}
    assert auto.usable is bool(machines)
    assert auto.figures["choice"] == ("kvm" if "kvm" in machines else "qemu" if machines else None)


def test_every_program_is_there_or_has_a_command_that_gets_it(report: Report) -> None:
    assert [finding.name for finding in report.programs] == [tool.name for tool in TOOLS]
    for finding in report.programs:
        assert finding.usable is not bool(finding.figures["missing"])
        assert finding.usable or "install" in finding.fix


def test_limits_are_told_for_each_plan_and_auto_is_made_concrete(report: Report) -> None:
    assert [size.plan.guests for size in report.sizes] == [32, 2000]
    assert report.sizes[0].plan == THESIS
    assert report.sizes[1].plan.backend in ("kvm", "qemu")
    assert all(size.limits for size in report.sizes)
    for size in report.sizes:
        assert (size.plan.guests > size.room) is any(limit.is_hit for limit in size.limits)


def test_everything_is_plain_data_with_a_name_and_an_answer(report: Report) -> None:
    rows = json.loads(json.dumps([finding.as_json() for finding in report.findings()]))
    assert {row["kind"] for row in rows} == {"lab", "backend", "timers", "program", "limit", "capacity"}
    for row in rows:
        assert row["name"]
        assert isinstance(row["usable"], bool)
        assert isinstance(row["detail"], str)
    limits = [row for row in rows if row["kind"] == "limit"]
    assert all(row["needed"] > 0 and row["plan"]["guests"] in (32, 2000) for row in limits)


def test_a_limit_that_holds_in_some_cases_only_does_not_make_the_plan_impossible() -> None:
    many = diagnose_limits(Plan("uml", 1500, 1))
    ports = many["BR_MAX_PORTS"]
    assert ports.usable
    assert ports.fix
    assert "if guests are joined by a bridge" in ports.detail


def diagnose_limits(plan: Plan) -> dict[str, Finding]:
    size = doctor._size(doctor.read_facts(), plan)
    return {limit.name: doctor._limit_finding(plan, limit) for limit in size.limits}


def test_where_no_lab_can_be_made_no_backend_is_tried_and_each_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "lab_possible", lambda: (False, "Operation not permitted", "allow it"))
    report = diagnose([THESIS])
    assert not report.lab.usable
    assert not report.backends[-1].usable
    for finding in report.backends[:-1]:
        assert not finding.usable
        assert "Operation not permitted" in finding.detail
        assert "allow it" in finding.fix
    assert report.sizes[0].limits


def test_limits_that_nobody_tells_are_not_invented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "lab_possible", lambda: (False, "not here", "elsewhere"))
    monkeypatch.setattr(doctor, "read_facts", lambda: time.sleep(60))
    monkeypatch.setattr(doctor, "LAB_S", 0.3)
    (size,) = diagnose([THESIS]).sizes
    assert [limit.name for limit in size.limits] == ["BR_MAX_PORTS"]
    assert "no limit is known" in size.room_in_words()


def test_a_lab_that_hangs_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "lab_possible", lambda: time.sleep(60))
    monkeypatch.setattr(doctor, "LAB_S", 0.3)
    start_s = time.monotonic()
    lab = doctor._lab()
    assert time.monotonic() - start_s < 10
    assert not lab.usable
    assert "gave up waiting" in lab.detail


@pytest.mark.parametrize("is_usable", [True, False])
def test_auto_in_words(is_usable: bool) -> None:
    probes = {"kvm": Probe(False, "it is slow", "nest it"), "qemu": Probe(is_usable, "QEMU 7.2", "install it")}
    finding = doctor._auto_finding(doctor._auto(probes))
    assert finding.usable is is_usable
    assert "kvm is unusable because it is slow" in finding.detail
    assert finding.detail.startswith("qemu: QEMU 7.2") is is_usable
    assert isinstance(doctor._auto({}), HostError)
