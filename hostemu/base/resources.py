"""Data files that come with hostemu: from the checkout, or from the installed wheel."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]


def data_dir(kind: str) -> Path:
    """The folder of shipped files of a kind: "scenarios", "workloads", "models" or "calibration"."""
    installed = PACKAGE / "data" / kind
    return installed if installed.is_dir() else PACKAGE.parent / kind


def data_file(kind: str, name: str) -> Path:
    """One shipped file."""
    return data_dir(kind) / name
