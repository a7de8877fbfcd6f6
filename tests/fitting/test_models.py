"""Model files: what is saved is loaded again; what is none, or another machine's, is refused by name."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hostemu.base.errors import HostError, InputError
from hostemu.base.resources import data_file
from hostemu.fitting import (
    Model,
    Models,
    best_fit,
    fit,
    load_models,
    models_of,
    require_host,
    save_models,
    thesis_models,
)

MIB = 1 << 20
X = np.repeat([16.0, 32.0, 64.0, 128.0], 3) * MIB
NOISE = np.random.default_rng(1).normal(1, 0.005, len(X))


def models() -> Models:
    memory = Model("memory_bytes", "configured_bytes", "uml", fit("linear", X, (4e6 + 0.01 * X) * NOISE))
    boot = Model("boot_s", "any", "qemu", fit("constant", [1.0], [1.1]))
    host = {"cpu_model": "test CPU", "cores": 2}
    return Models("campaign thesis", {"memory-uml": memory, "boot-qemu": boot}, host, "2026-11-24")


def test_what_is_saved_is_loaded_again(tmp_path: Path) -> None:
    path, saved = tmp_path / "models.toml", models()
    save_models(saved, path)
    loaded = load_models(path)
    assert (loaded.source, loaded.host, loaded.measured_at) == (saved.source, saved.host, saved.measured_at)
    for name, model in saved.models.items():
        other = loaded.models[name]
        assert (other.quantity, other.over, other.backend) == (model.quantity, model.over, model.backend)
        for x in (16.0 * MIB, 500.0 * MIB):
            assert other.at(x) == model.at(x)
    assert [file.name for file in tmp_path.iterdir()] == ["models.toml"]


def test_a_model_is_found_by_quantity_and_backend() -> None:
    assert models().get("boot_s", "qemu") is not None
    assert models().get("boot_s", "uml") is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("schema = 1", "schema = 2", "version"),
        ('kind = "models"', 'kind = "costs"', "version"),
        ('form = "linear"', 'form = "cubic"', "cubic"),
        ('form = "linear"', 'form = "knee"', "floor, slope"),
        ("n = 12", "n = 0", "line"),
        ("n = 12", "m = 12", "line"),
        ("least = ", "least = [", "TOML"),
    ],
)
def test_a_file_that_is_none_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "models.toml"
    save_models(models(), path)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_models(path)
    assert "models.toml" in str(caught.value)
    assert says in str(caught.value)


def test_a_file_that_is_not_there_and_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read"):
        load_models(tmp_path / "absent.toml")
    with pytest.raises(HostError):
        save_models(models(), tmp_path / "absent" / "models.toml")


def test_models_of_another_machine_are_refused() -> None:
    here = {"cpu_model": "test CPU", "cores": 2, "kernel": "6.1"}
    require_host(models(), here, Path("m.toml"))
    with pytest.raises(InputError, match="another machine") as caught:
        require_host(models(), here | {"cores": 8}, Path("m.toml"))
    assert "cores 8" in str(caught.value)


@pytest.mark.parametrize(
    ("y", "form"),
    [(4e6 * NOISE, "constant"), ((4e6 + 0.1 * X) * NOISE, "linear"), (np.minimum(X, 40 * MIB) * NOISE, "knee")],
)
def test_the_form_with_no_more_coefficients_than_points_ask_for_is_taken(y: Any, form: str) -> None:
    assert best_fit(("constant", "linear", "knee"), X, y).form.name == form


def test_the_thesis_uml_guests_take_the_same_whatever_they_are_given_and_xen_s_take_more() -> None:
    found = thesis_models(tomllib.loads(data_file("models", "thesis-2008.toml").read_text()))
    uml, xen = found.get("memory_bytes", "uml"), found.get("memory_bytes", "xen")
    assert uml is not None
    assert xen is not None
    assert uml.fit.form.name == "constant"
    assert uml.at(32 * MIB).value == pytest.approx(14.3 * MIB)
    assert xen.fit.form.name == "linear"
    assert xen.at(256 * MIB).is_extrapolated


def test_a_campaign_s_memory_and_means_become_models() -> None:
    def cell(figure: str, name: str, values: list[float], **parameters: str) -> dict[str, Any]:
        return {
            "figure": figure,
            "backend": "uml",
            "parameters": parameters,
            "quantities": {name: {"values": values}},
        }

    cells = [cell("memory", "memory_bytes", [4e6, 4.1e6], memory=f"{size} MiB") for size in (16, 32, 64, 128)]
    cells += [cell("iperf", "iperf_bps", [5e9, 6e9], wiring="gine"), cell("boot", "boot_s", [0.1])]
    summary = {
        "campaign": "c",
        "host": {"cores": 2, "list": [1]},
        "last_at": "t",
        "backends": {"uml": {}},
        "cells": cells,
    }
    found = models_of(summary)
    assert set(found.models) == {"memory-uml", "iperf-uml-gine"}
    assert found.host == {"cores": 2}
    memory, iperf = found.get("memory_bytes", "uml"), found.get("gine_iperf_bps", "uml")
    assert memory is not None
    assert memory.at(32 * MIB).value == pytest.approx(4.05e6, rel=0.01)
    assert iperf is not None
    assert iperf.at(1).value == pytest.approx(5.45e9, rel=0.02)
