from __future__ import annotations

from pathlib import Path

import pytest

from hostemu.base import resources


def test_a_checkout_gives_its_own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "hostemu")
    assert resources.data_file("scenarios", "a.toml") == tmp_path / "scenarios" / "a.toml"


def test_an_installed_wheel_gives_the_folders_that_it_carries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hostemu" / "data" / "models").mkdir(parents=True)
    monkeypatch.setattr(resources, "PACKAGE", tmp_path / "hostemu")
    assert resources.data_dir("models") == tmp_path / "hostemu" / "data" / "models"


@pytest.mark.parametrize("kind", ["scenarios", "workloads", "models", "calibration"])
def test_the_shipped_folders_are_there(kind: str) -> None:
    assert resources.data_dir(kind).is_dir()
