"""Models of memory from a campaign's figures, and the reasons where there is none."""

from __future__ import annotations

from typing import Any

import pytest

from hostemu.base.errors import InputError
from hostemu.fitting import Models, models_of

MIB = 1 << 20


def cell(figure: str, notes: tuple[str, ...], quantities: dict[str, list[float]], **parameters: Any) -> Any:
    """A cell of UML guests."""
    found = {name: {"values": values} for name, values in quantities.items()}
    return {
        "figure": figure,
        "backend": "uml",
        "parameters": parameters,
        "quantities": found,
        "notes": notes,
    }


def models(*cells: Any) -> Models:
    return models_of(
        {"campaign": "c", "host": {"cores": 2}, "last_at": "t", "backends": {"uml": {}}, "cells": list(cells)}
    )


def test_terminals_take_memory_one_by_one() -> None:
    def loaded(terminals: int, *taken: float) -> Any:
        return cell("load", (), {"memory_bytes": list(taken)}, terminals=terminals)

    found = models(loaded(0, 10.0e6, 10.1e6), loaded(100, 10.4e6), loaded(1000, 14.0e6, 14.2e6))
    model = found.get("memory_bytes", "uml")
    assert model is not None
    assert (model.over, model.fit.form.name) == ("terminals", "linear")
    assert model.fit.coefficients["slope"].value == pytest.approx(4000, rel=0.05)
    assert model.at(1600).is_extrapolated
    assert not model.at(0).is_extrapolated


def test_memory_over_two_things_must_be_told_apart() -> None:
    sizes = [cell("memory", (), {"memory_bytes": [1e7, 1.1e7]}, memory=f"{size} MiB") for size in (16, 32, 64)]
    found = models(*sizes, *(cell("load", (), {"memory_bytes": [1e7]}, terminals=n) for n in (0, 100, 200)))
    with pytest.raises(InputError, match="not clear") as caught:
        found.get("memory_bytes", "uml")
    assert "load-uml over terminals" in str(caught.value)
    for over in ("terminals", "configured_bytes"):
        model = found.get("memory_bytes", "uml", over)
        assert model is not None
        assert model.over == over


def guests(count: float, budget: str, *notes: str) -> Any:
    quantities = {"guests": [count, count], "guest_bytes": [7e6, 7e6], "guest_marginal_bytes": [8e6, 8.1e6]}
    return cell("guests", notes, quantities, budget=budget)


def test_guests_fill_budgets() -> None:
    limited = guests(350, "9 GiB", "the campaign's limit of 350 guests")
    found = models(guests(120, "1 GiB"), guests(248, "2 GiB"), limited)
    model = found.get("guests", "uml")
    assert model is not None
    assert model.at(1536 * MIB).value == pytest.approx(184, abs=2)
    assert model.at(9 << 30).is_extrapolated
    marginal = found.get("guest_marginal_bytes", "uml")
    assert marginal is not None
    assert marginal.fit.n == 6
    assert found.missing == {}


def test_a_ramp_that_could_have_gone_on_makes_no_model_and_says_so() -> None:
    limit = "the campaign's limit of 350 guests"
    found = models(guests(350, "9 GiB", limit))
    assert found.get("guests", "uml") is None
    assert found.missing["guests-uml"] == f"at least 350 guests: {limit}"


def test_terminals_per_guest_are_the_same_always_or_at_least_so_many() -> None:
    limit = "the campaign's limit of 20000 terminals"
    found = models(
        cell("terminals", (), {"terminals": [4000.0, 4200.0]}, power="on"),
        cell("terminals", (limit,), {"terminals": [20000.0]}, power="cycle"),
    )
    model = found.get("on_terminals_per_guest", "uml")
    assert model is not None
    assert model.at(7).value == pytest.approx(4100, rel=0.01)
    assert not model.at(7).is_extrapolated
    assert found.get("terminals_per_guest", "uml") is None
    assert found.missing == {"terminals-uml-cycle": f"at least 20,000 terminals: {limit}"}


def test_points_that_make_no_model_are_told() -> None:
    found = models(cell("load", (), {"memory_bytes": [0.0]}, terminals=5))
    assert found.models == {}
    assert "load-uml" in found.missing
