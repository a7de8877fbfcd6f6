"""CPU times of actions as models, and cost models made of them, from files of both kinds."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.errors import InputError
from hostemu.base.resources import data_file
from hostemu.fitting import Models, costs_from_models, load_costs_or_models, models_of, remarks, save_models
from hostemu.measure.costs import FIGURES, OPTIONAL, Costs, Provenance, save_costs

HERE = {"cpu_model": "test CPU", "cores": 4}
TIMES = {name: 1e4 * (number + 2) for number, name in enumerate((*FIGURES, *OPTIONAL))}


def models(backend: str = "uml", **changes: list[float]) -> Models:
    """The models of a campaign that measured every action twice."""
    values = {f"{name}_ns": [value, 1.02 * value] for name, value in TIMES.items()} | changes
    quantities = {name: {"values": found} for name, found in values.items()}
    cell: dict[str, Any] = {"figure": "costs", "backend": backend, "parameters": {}, "quantities": quantities}
    return models_of({"campaign": "c", "host": HERE, "last_at": "t", "backends": {backend: {}}, "cells": [cell]})


def test_every_action_s_time_is_a_model_and_together_they_are_a_cost_model() -> None:
    costs = costs_from_models(models(), "uml")
    for name, value in TIMES.items():
        assert getattr(costs, f"{name}_ns") == pytest.approx(1.01 * value, rel=0.01)
    assert costs.cores == 4
    assert costs.source == "models of campaign c, uml guests"
    assert list(remarks(costs, HERE)) == []


def test_an_action_that_took_no_time_that_could_be_seen_is_no_model() -> None:
    found = models(terminal_refused_ns=[0.0, 900.0])
    assert found.get("terminal_refused_ns", "uml") is None
    assert found.missing == {"cost-terminal-refused-uml": "too small to be told from nothing: 450 ns at a mean"}
    assert costs_from_models(found, "uml").terminal_refused_ns == 0


def test_models_without_the_backend_s_times_name_those_that_they_have() -> None:
    with pytest.raises(InputError, match="no CPU times of netns guests") as caught:
        costs_from_models(models(), "netns")
    assert "--backend uml" in str(caught.value)
    with pytest.raises(InputError, match="hostemu calibrate costs --backend qemu"):
        costs_from_models(Models("nothing", {}), "qemu")


def test_what_is_not_known_costs_nothing_and_is_told() -> None:
    few = Models("c", {name: m for name, m in models().models.items() if "router" in name})
    costs = costs_from_models(few, "uml")
    assert (costs.isp_exchange_ns, costs.router_frame_ns > 0, costs.cores) == (0, True, 1)
    (text,) = remarks(costs, HERE)
    assert "isp_exchange" in text
    assert "router_frame" not in text


def test_both_kinds_of_files_are_taken(tmp_path: Path) -> None:
    cost_file, model_file = tmp_path / "costs.toml", tmp_path / "models.toml"
    here = Provenance("hostemu calibrate costs", "t", {**HERE, "cores": 2})
    save_costs(Costs(router_frame_ns=7, provenance=here), cost_file)
    save_models(models(), model_file)
    costs = load_costs_or_models(str(cost_file), "uml", HERE)
    assert costs.router_frame_ns == 7
    assert list(remarks(costs, HERE)) == ["these costs were measured on another machine: cores 2, here 4"]
    assert load_costs_or_models(str(model_file), "uml", HERE) == costs_from_models(models(), "uml")
    with pytest.raises(InputError, match="another machine") as caught:
        load_costs_or_models(str(model_file), "uml", {**HERE, "cores": 2})
    assert "models.toml" in str(caught.value)
    assert "--model" in str(caught.value)


@pytest.mark.parametrize(("backend", "frame_us"), [("qemu", 101.6), ("uml", 30.8)])
def test_the_thesis_models_are_found_by_name_and_say_what_table_1_does(backend: str, frame_us: float) -> None:
    costs = load_costs_or_models("thesis-2008-models", backend, HERE)
    assert costs.guest_frame_ns == pytest.approx(1000 * frame_us, rel=1e-3)
    assert costs.router_frame_ns == pytest.approx(2 * costs.guest_frame_ns, abs=1)
    assert (costs.cores, costs.router_queue_frames, costs.nic_queue_frames) == (2, 1000, 1000)
    kbps = tomllib.loads(data_file("models", "thesis-2008.toml").read_text())["table1"]["iperf"][backend]
    assert 8 * 1448 * 1e9 / costs.guest_frame_ns == pytest.approx(1000 * kbps, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("thesis-2008-model", None, "did you mean thesis-2008-models?"),
        ("absent.toml", None, "no model file"),
        ("a.toml", "kind = 3", "costs"),
        ("a.toml", 'kind = "models"', "no model file of a version"),
        ("a.toml", "kind =", "not TOML"),
    ],
)
def test_what_is_no_such_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str | None, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    if text is not None:
        Path(name).write_text(text)
    with pytest.raises(InputError, match=Path(name).stem) as caught:
        load_costs_or_models(name, "netns", HERE)
    assert says in str(caught.value)
