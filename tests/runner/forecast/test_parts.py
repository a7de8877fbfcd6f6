"""Models of parts give back what they were fitted to, and tell apart what each guest adds."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hostemu.base.errors import InputError, RunError
from hostemu.fitting import Models, Prediction
from hostemu.runner.forecast.parts import MEMORY, PARTS, STANDING, START_CPU, WORK, Size, fit_parts
from hostemu.runner.forecast.predict import parts_of

NAMES = ("runner", "center", "isp", "guests")


def size(guests: int, programs: int = 1, run_s: float = 8.0) -> Size:
    return Size(guests, 100 * guests, programs, 1200.0 * guests, run_s)


def used(of: Size, fixed: float, each: float) -> dict[str, Any]:
    """Every part takes something anyway, something per guest, per program, per attempt, per second."""
    start = dict.fromkeys(NAMES, fixed + each * of.guests) | {"isp": of.programs * fixed}
    standing = dict.fromkeys(NAMES, 0.01)
    work = dict.fromkeys(NAMES, 0.0001 * of.attempts) | {"center": 1e-3 * of.terminals}
    return {
        "cpu": {name: start[name] + 0.01 * of.run_s + work[name] for name in NAMES},
        "cpu_start": start,
        "standing_cpu": standing,
        "watch_cpu": {"runner": 0.0},
        "memory": dict.fromkeys((*NAMES, "kernel"), (fixed + each * of.guests) * 2**20),
        "start_s": fixed + each * of.guests,
        "disk_bytes": 1e5 + 1e3 * of.terminals,
    }


def models(fixed: float, each: float) -> Models:
    sizes = [size(guests, run_s=run_s) for run_s in (8.0, 32.0) for guests in (1, 3, 8)]
    return Models("made up", fit_parts("netns", [(one, used(one, fixed, each)) for one in sizes]))


def total(found: dict[str, Prediction], kind: str) -> float:
    return sum(found[part.quantity].value for part in PARTS if part.kind == kind)


@settings(max_examples=25, deadline=None)
@given(fixed=st.floats(0.1, 100), each=st.floats(0.01, 100), guests=st.integers(1, 1000), run_s=st.floats(8.0, 300.0))
def test_a_linear_world_is_forecast_exactly(fixed: float, each: float, guests: int, run_s: float) -> None:
    large = size(guests, run_s=run_s)
    found, truth = dict(parts_of(large, models(fixed, each), "netns")), used(large, fixed, each)
    assert total(found, WORK) == pytest.approx(3e-4 * large.attempts + 1e-3 * large.terminals, rel=0.01)
    assert total(found, STANDING) == pytest.approx(4 * 0.01 * run_s, rel=0.01)
    assert total(found, START_CPU) == pytest.approx(sum(truth["cpu_start"].values()), rel=0.01)
    assert total(found, MEMORY) == pytest.approx(sum(truth["memory"].values()), rel=0.01)
    assert found["run_start_s"].value == pytest.approx(truth["start_s"], rel=0.01)


def test_what_is_cheaper_at_a_time_is_dearer_at_a_slower_pace() -> None:
    """A guest's work costs a fifth more per attempt when attempts are four times rarer: so it goes on."""

    def dear(one: Size) -> dict[str, Any]:
        found = used(one, 1.0, 1.0)
        found["cpu"]["guests"] += 0.0001 * one.attempts * (1.2 ** math.log(one.run_s / 8.0, 4) - 1)
        return found

    sizes = [size(guests, run_s=run_s) for run_s in (8.0, 32.0) for guests in (1, 3, 8)]
    known = Models("made up", fit_parts("netns", [(one, dear(one)) for one in sizes]))
    for run_s, factor in ((8.0, 1.0), (32.0, 1.2), (128.0, 1.44)):
        large = size(30, run_s=run_s)
        found = dict(parts_of(large, known, "netns"))["guests_work_cpu_share"]
        assert found.value == pytest.approx(0.0001 * large.attempts * factor, rel=0.01)


def test_what_programs_take_counts_once_for_each_of_them() -> None:
    known = models(1.0, 0.0)
    one, three = (dict(parts_of(size(8, programs), known, "netns"))["isp_start_cpu_s"].value for programs in (1, 3))
    assert three == pytest.approx(3 * one, rel=0.01)


def test_sizes_beyond_those_of_the_fit_are_extrapolated() -> None:
    known = models(1.0, 1.0)
    assert not dict(parts_of(size(5), known, "netns"))["guests_memory_bytes"].is_extrapolated
    assert dict(parts_of(size(9), known, "netns"))["guests_memory_bytes"].is_extrapolated


def test_models_of_another_backend_are_refused() -> None:
    with pytest.raises(InputError, match="uml"):
        dict(parts_of(size(5), models(1.0, 1.0), "uml"))


def test_runs_of_one_size_tell_too_little() -> None:
    with pytest.raises(RunError, match="too few"):
        fit_parts("netns", [(size(3), used(size(3), 1.0, 1.0))] * 4)


def test_errors_of_parts_add_up_as_independent_ones_do() -> None:
    both = Prediction.total([Prediction(7, 13, 10, False), Prediction(16, 24, 20, False)])
    assert (both.value, both.low, both.high, both.is_extrapolated) == (30, 25, 35, False)


def test_kernel_memory_that_others_gave_back_meanwhile_does_not_spoil_the_fit() -> None:
    """It is a difference of the whole machine's: once negative, it must not count as nothing for all sizes."""
    sizes = [size(guests, run_s=run_s) for run_s in (8.0, 32.0) for guests in (1, 3, 8)]
    runs = [(one, used(one, 100.0, 1.0)) for one in sizes]
    for (_, found), noise in zip(runs, (-3e6, 2e6, 1e6) * 2, strict=True):
        found["memory"]["kernel"] = noise
    known = Models("made up", fit_parts("netns", runs))
    found = dict(parts_of(size(8), known, "netns"))["runner_memory_bytes"]
    assert found.value == pytest.approx(108 * 2**20, rel=0.05)
