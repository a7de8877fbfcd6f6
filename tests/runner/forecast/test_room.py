"""What does not fit is refused before anything starts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hostemu.base.errors import HostError
from hostemu.measure.limit_facts import Facts
from hostemu.measure.limits import Limit
from hostemu.runner.forecast import room
from hostemu.runner.forecast.hosts import hosts_for, share_of
from hostemu.runner.forecast.predict import Forecast, Twin, parts_of
from hostemu.scenario import load_scenario
from tests.runner.forecast.test_parts import models, size

GIB = 2**30
SCENARIO = load_scenario("thesis-qemu")


def facts(**more: object) -> Facts:
    return replace(Facts(memory_available_bytes=4 * GIB), **more)  # type: ignore[arg-type]


def test_a_run_that_fits_is_let_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "facts_of_lab", lambda *, usable: facts())
    room.require_room(SCENARIO, "netns", {})


def test_too_little_memory_is_a_host_error_that_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "facts_of_lab", lambda *, usable: facts(memory_available_bytes=GIB // 2))
    with pytest.raises(HostError, match="MemAvailable") as caught:
        room.require_room(SCENARIO, "netns", {})
    assert caught.value.exit_code == 3
    room.require_room(SCENARIO, "netns", {"memory_bytes": {"value": GIB // 4}})  # a plan knows better


def test_a_limit_of_the_kernel_is_named_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "facts_of_lab", lambda *, usable: facts(pid_max=20, tasks=10))
    with pytest.raises(HostError, match=r"kernel\.pid_max") as caught:
        room.require_room(SCENARIO, "netns", {})
    assert "sysctl -w kernel.pid_max=" in str(caught.value.hint)


def test_a_backend_of_which_nothing_is_known_has_no_limits() -> None:
    assert room.limits_of(SCENARIO, "fake") == []


def forecast_on(cores: int) -> Forecast:
    large = size(32)
    twin = Twin("fleet", round(large.attempts), large.run_s, 1.5)
    return Forecast(large, twin, dict(parts_of(large, models(1.0, 1.0), "netns")), cores, "made up")


def test_cpu_time_that_no_core_is_left_for_and_a_full_disk_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda _folder: 1)
    reasons = list(room.refusals([], forecast_on(1), tmp_path))
    assert len(reasons) == 2
    assert reasons[0].startswith("CPU:")
    assert reasons[1].startswith("disk:")
    assert not any(reason.startswith("CPU") for reason in room.refusals([], forecast_on(64), tmp_path))


def test_limits_that_matter_in_some_case_only_refuse_nothing(tmp_path: Path) -> None:
    limit = Limit("gc_thresh3", "neighbours", 1, 2, "", only_if="a bridge")
    assert list(room.refusals([limit], None, tmp_path)) == []


@pytest.mark.parametrize("memory_gib", [1, 2, 16])
def test_hosts_are_enough_and_one_less_is_not(memory_gib: int) -> None:
    whole, known = size(4000, programs=40), models(1.0, 10.0)
    found = hosts_for(whole, known, "netns", {"memory_bytes": memory_gib * GIB, "cores": 2})
    assert found.by_memory is not None

    def memory(hosts: int) -> float:
        parts = dict(parts_of(share_of(whole, hosts), known, "netns"))
        return sum(amount.value for name, amount in parts.items() if name.endswith("memory_bytes"))

    assert memory(found.by_memory.value) <= 0.9 * memory_gib * GIB < memory(found.by_memory.value - 1)
    assert found.by_memory.low <= found.by_memory.value <= (found.by_memory.high or found.by_memory.value)


def test_a_host_that_cannot_hold_one_share_is_no_matter_of_number() -> None:
    found = hosts_for(size(10), models(1.0, 1.0), "netns", {"memory_bytes": 1024, "cores": 2})
    assert found.needed is None
    assert found.bottleneck == "memory"
