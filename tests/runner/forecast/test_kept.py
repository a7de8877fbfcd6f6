"""What is kept between commands is found again for the same question, and for no other one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from hostemu.base.errors import InputError
from hostemu.fitting import save_models
from hostemu.measure.costs import Costs, save_costs
from hostemu.measure.host import host_facts
from hostemu.runner.forecast import kept
from hostemu.runner.forecast.files import read_given
from hostemu.runner.forecast.predict import play_twin
from hostemu.scenario import load_scenario
from tests.fitting.test_action_costs import TIMES
from tests.fitting.test_action_costs import models as models_of_costs
from tests.runner.forecast.test_parts import models


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOSTEMU_CACHE", str(tmp_path / "cache"))


def test_models_hold_for_other_sizes_and_seeds_of_the_scenario_only() -> None:
    kept.keep_models(models(1.0, 1.0), load_scenario("thesis-qemu"), "netns")
    for same in (["seed=5"], ["fleet.terminals=1500"], ["fleet.terminals=750", "retrieval.concurrency=100"]):
        assert kept.kept_models(load_scenario("thesis-qemu", same), "netns") is not None
    for other in (["retrieval.concurrency=300"], ["power.on=4 s"], ["fleet.terminals_per_guest=50"]):
        assert kept.kept_models(load_scenario("thesis-qemu", other), "netns") is None
    assert kept.kept_models(load_scenario("thesis-qemu"), "uml") is None


def test_models_of_another_machine_or_version_are_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = load_scenario("thesis-qemu")
    kept.keep_models(models(1.0, 1.0), scenario, "netns")
    with monkeypatch.context() as patch:
        patch.setattr(kept, "host_facts", lambda: {**host_facts(), "cores": 4096})
        assert kept.kept_models(scenario, "netns") is None
    monkeypatch.setattr(kept, "__version__", "0.0.0")
    assert kept.kept_models(scenario, "netns") is None


def test_a_forecast_is_of_one_run() -> None:
    scenario = load_scenario("smoke")
    path = kept.forecast_path(scenario, "netns", 2.0)
    kept.keep_forecast({"cpu_s": 1}, path)
    assert kept.kept_forecast(kept.forecast_path(scenario, "netns", 2.0)) == {"cpu_s": 1}
    assert kept.kept_forecast(kept.forecast_path(scenario, "netns", 1.0)) == {}
    assert kept.kept_forecast(kept.forecast_path(load_scenario("smoke", ["seed=9"]), "netns", 2.0)) == {}
    path.write_text("{")
    assert kept.kept_forecast(path) == {}


def test_files_of_costs_and_of_models_are_told_apart(tmp_path: Path) -> None:
    costs, own = tmp_path / "costs.toml", kept.keep_models(models(1.0, 1.0), load_scenario("smoke"), "netns")
    save_costs(Costs(isp_refused_ns=10**6, isp_exchange_ns=2 * 10**6, cores=2), costs)
    given = read_given([str(costs), str(own)], "netns")
    assert given.costs.isp_refused_ns == 10**6
    assert given.models is not None
    assert given.source == str(own)
    with pytest.raises(InputError, match="two files"):
        read_given([str(own), str(own)], "netns")
    with pytest.raises(InputError, match="absent"):
        read_given([str(tmp_path / "absent.toml")], "netns")


def test_costs_may_be_models_of_guests_of_the_backend(tmp_path: Path) -> None:
    path = tmp_path / "models.toml"
    save_models(replace(models_of_costs("uml"), host={}), path)
    given = read_given([str(path)], "uml")
    assert given.models is None
    assert given.costs.isp_exchange_ns == pytest.approx(1.01 * TIMES["isp_exchange"], rel=0.01)
    with pytest.raises(InputError, match="no CPU times of qemu guests"):
        read_given([str(path)], "qemu")


def test_costs_say_what_the_work_of_the_twin_takes() -> None:
    scenario = load_scenario("smoke")
    work = play_twin(
        scenario, 1.0, Costs(isp_refused_ns=10**5, isp_exchange_ns=10**5, center_report_ns=10**6)
    ).work_cpu_s
    twin = play_twin(scenario, 1.0)
    assert twin.work_cpu_s == {}
    assert work["isp"] == pytest.approx(1e-4 * twin.attempts, rel=0.1)
    assert work["center"] == pytest.approx(1e-3 * 40, rel=0.1)
