"""What guests in virtual time are charged, from models of a stream's frames and of kernels' entries."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.fitting import Models, charged_from_models, load_charged, models_of, remarks, save_models
from hostemu.measure.costs import Charge, Costs, save_costs

HERE = {"cpu_model": "test CPU", "cores": 4}
SIZES = (200.0, 500.0, 1000.0)


def cell(figure: str, **quantities: list[float]) -> dict[str, Any]:
    """A cell of a campaign's summary."""
    named = {name: {"values": values} for name, values in quantities.items()}
    measured = max(map(len, quantities.values()))
    return {"figure": figure, "backend": "qemu", "parameters": {}, "measured": measured, "quantities": named}


def stream(frame_ns: float, kib_ns: float) -> list[dict[str, Any]]:
    """Cells of a stream whose frames take so long, twice at each size."""
    rates = [1e9 / (frame_ns + kib_ns * size / 1024) for size in SIZES]
    return [
        cell("stream", stream_frames_per_s=[rate, rate], stream_frame_bytes=[size, size])
        for size, rate in zip(SIZES, rates, strict=True)
    ]


def models(*cells: dict[str, Any]) -> Models:
    """The models of these cells."""
    return models_of({"campaign": "c", "host": HERE, "last_at": "t", "backends": {"qemu": {}}, "cells": cells})


@given(st.floats(100, 1e6), st.floats(0, 1e6), st.floats(100, 1e5), st.floats(100, 1e6))
def test_a_stream_s_rates_are_charged_as_the_time_of_its_frames(
    frame_ns: float, kib_ns: float, call_ns: float, fault_ns: float
) -> None:
    entries = cell("entries", guest_call_ns=[call_ns] * 2, guest_fault_ns=[fault_ns] * 2)
    costs = charged_from_models(models(*stream(frame_ns, kib_ns), entries), "qemu")
    found = costs.charge
    for size in SIZES:
        assert found.frame_ns + found.kib_ns * size / 1024 == pytest.approx(
            frame_ns + kib_ns * size / 1024, rel=0.02, abs=2
        )
    assert (found.call_ns, found.fault_ns) == (round(call_ns), round(fault_ns))
    assert list(remarks(costs, HERE)) == []


def test_what_was_not_measured_is_free_and_told() -> None:
    costs = charged_from_models(models(*stream(10_000, 1000)), "qemu")
    assert costs.charge.frame_ns == pytest.approx(10_000, rel=0.01)
    (text,) = remarks(costs, HERE)
    assert text == "not known, and taken to cost nothing: guest_call, guest_fault"


def test_larger_frames_never_take_less() -> None:
    faster = [
        cell("stream", stream_frames_per_s=[rate, rate], stream_frame_bytes=[size, size])
        for size, rate in zip(SIZES, (90_000.0, 95_000.0, 100_000.0), strict=True)
    ]
    assert charged_from_models(models(*faster), "qemu").charge.kib_ns >= 0


def test_the_thesis_guests_are_charged_what_its_table_says() -> None:
    found = load_charged("thesis-2008-models", "qemu", HERE).charge
    assert 8 * 1448 * 1e9 / found.frame_ns == pytest.approx(114e6, rel=0.01)
    assert (found.kib_ns, found.call_ns, found.fault_ns) == (0, 0, 0)


def test_files_of_both_kinds_are_read(tmp_path: Path) -> None:
    save_models(models(*stream(10_000, 1000)), tmp_path / "models.toml")
    assert load_charged(str(tmp_path / "models.toml"), "qemu", HERE).charge.frame_ns == pytest.approx(
        10_000, rel=0.01
    )
    save_costs(Costs(guest_call_ns=700, guest_fault_ns=9000, source="me"), tmp_path / "costs.toml")
    assert load_charged(str(tmp_path / "costs.toml"), "uml", HERE).charge == Charge(call_ns=700, fault_ns=9000)


def test_a_file_with_nothing_to_charge_is_refused_and_another_machine_s_too(tmp_path: Path) -> None:
    save_costs(Costs(isp_exchange_ns=5000, source="me"), tmp_path / "costs.toml")
    save_models(models(*stream(10_000, 1000)), tmp_path / "models.toml")
    for name in ("costs.toml", "models.toml"):
        with pytest.raises(InputError, match="nothing to charge uml guests with") as caught:
            load_charged(str(tmp_path / name), "uml", HERE)
        assert name in str(caught.value)
        assert "hostemu calibrate charges" in str(caught.value)
    with pytest.raises(InputError, match="another machine"):
        load_charged(str(tmp_path / "models.toml"), "qemu", {**HERE, "cpu_model": "other"})


def test_entries_are_no_cost_of_the_simulator_s() -> None:
    assert Costs(guest_call_ns=5, guest_fault_ns=7).is_free
    assert not replace(Costs(), guest_frame_ns=1).is_free
