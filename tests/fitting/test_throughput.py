"""Models of what campaigns measured with traffic: over what was varied, or constant where it was one value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.fitting import FORMS, Model, Models, models_of
from hostemu.fitting.throughput import SUBJECTS

CLIENTS = (1, 4, 16, 64, 100)
RNG = np.random.default_rng(7)


def cell(figure: str, name: str, values: list[float], backend: str = "uml", **parameters: Any) -> dict[str, Any]:
    """A cell of a summary with one quantity."""
    quantities = {name: {"values": values}}
    return {
        "figure": figure,
        "backend": backend,
        "parameters": parameters,
        "measured": len(values),
        "quantities": quantities,
    }


def models(*cells: dict[str, Any], **definition: Any) -> Models:
    """The models of these cells."""
    backends = {cell["backend"]: {} for cell in cells}
    return models_of(
        {
            "campaign": "c",
            "host": {},
            "last_at": "t",
            "backends": backends,
            "cells": cells,
            "definition": definition,
        }
    )


def found(made: Models, quantity: str, backend: str = "uml") -> Model:
    """The model of a quantity, which must be there."""
    model = made.get(quantity, backend)
    assert model is not None, list(made.models)
    return model


def noisy(form: str, x: float, *coefficients: float) -> list[float]:
    """Three values of a form with an error of 1 %."""
    y = float(FORMS[form].function(np.array([x]), *coefficients)[0])
    return [y * float(factor) for factor in RNG.normal(1, 0.01, 3)]


@pytest.mark.parametrize(
    ("form", "coefficients"),
    [("constant", (4e9,)), ("shared", (1e9, 0.2)), ("scalability", (1e9, 0.05, 2e-3))],
)
def test_throughput_over_clients_has_the_form_that_it_follows(form: str, coefficients: tuple[float, ...]) -> None:
    made = models(
        *(
            cell("iperf", "iperf_bps", noisy(form, n, *coefficients), wiring=wiring, clients=n)
            for wiring in ("direct", "gine")
            for n in CLIENTS
        )
    )
    assert set(made.models) == {"iperf-uml-direct", "iperf-uml-gine"}
    model = found(made, "gine_iperf_bps")
    assert (model.over, model.fit.form.name, model.fit.n) == ("clients", form, 15)
    assert (model.fit.least, model.fit.most) == (1, 100)
    truth = float(FORMS[form].function(np.array([30.0]), *coefficients)[0])
    assert model.at(30).value == pytest.approx(truth, rel=0.05)
    assert model.at(200).is_extrapolated


def test_a_campaign_of_one_value_has_a_constant_model_that_says_which() -> None:
    made = models(
        cell("iperf", "iperf_bps", [5e9, 6e9], wiring="direct"),
        cell("packets", "packets_per_s", [1e4, 1.1e4], wiring="direct"),
        cell("tbench", "tbench_bps", [5e8, 6e8], wiring="direct"),
        cell("boot", "boot_s", [0.1, 0.11]),
        iperf={"clients": 100},
        packets={"payload": 18},
    )
    iperf, packets = found(made, "direct_iperf_bps"), found(made, "direct_packets_per_s")
    assert (iperf.over, iperf.fit.form.name) == ("clients", "constant")
    assert (iperf.at(100).is_extrapolated, iperf.at(10).is_extrapolated) == (False, True)
    assert (packets.over, packets.fit.least, packets.fit.most) == ("payload_bytes", 18, 18)
    assert {found(made, name).over for name in ("direct_tbench_bps", "boot_s")} == {"any"}  # nothing says of what


def test_packets_take_a_time_each_and_a_time_per_byte() -> None:
    sizes = (18, 200, 600, 1400)
    made = models(
        *(
            cell("packets", "packets_per_s", noisy("service_rate", n, 1e-5, 2e-8), wiring="gine", payload=n)
            for n in sizes
        ),
        packets={"payload": list(sizes)},
    )
    model = found(made, "gine_packets_per_s")
    assert (model.over, model.fit.form.name) == ("payload_bytes", "service_rate")
    assert model.fit.coefficients["per_unit"].value == pytest.approx(1e-5, rel=0.05)
    assert model.fit.coefficients["per_size"].value == pytest.approx(2e-8, rel=0.05)


def test_total_throughput_is_modelled_over_guests() -> None:
    cells = [
        cell("sharing", "sharing_bps", noisy("shared", n, 2e9, 0.5), wiring="direct", guests=n) for n in (1, 2, 4, 8)
    ]
    model = found(models(*cells), "direct_sharing_bps")
    assert (model.over, model.fit.form.name) == ("guests", "shared")


def router(payload: int, *, is_limited: bool = False, wiring: str = "direct") -> dict[str, Any]:
    """A router's cell: 10,000 frames per second, 500 of them wait; or more than anyone could offer."""
    made = cell("router", "router_frames_per_s", [1e4, 1.01e4, 0.99e4], wiring=wiring, payload=payload)
    made["quantities"]["router_queue_frames"] = {"values": [500.0, 510.0, 490.0]}
    if is_limited:
        made["quantities"] = {"router_frames_at_least_per_s": {"values": [3e5] * 3}}
    return made


def test_a_router_has_a_capacity_by_payload_and_a_queue_unless_it_was_not_filled() -> None:
    made = models(router(18), router(1400), router(18, is_limited=True, wiring="gine"))
    assert set(made.models) == {"router-frames-per-s-uml", "router-queue-frames-uml"}
    capacity, queue = found(made, "router_frames_per_s"), found(made, "router_queue_frames")
    assert (capacity.over, capacity.fit.form.name) == ("payload_bytes", "service_rate")
    assert capacity.at(500).value == pytest.approx(1e4, rel=0.02)
    assert (queue.over, queue.fit.form.name, queue.fit.n) == ("any", "constant", 6)
    assert queue.at(1).value == pytest.approx(500, rel=0.02)


def test_a_cell_of_which_some_repeats_reached_no_limit_is_left_out() -> None:
    partly = router(18)
    partly["quantities"]["router_queue_frames"]["values"].pop()
    made = models(partly, router(1400))
    assert found(made, "router_queue_frames").fit.n == 3
    assert found(made, "router_frames_per_s").fit.n == 6


figures = st.sampled_from(sorted({subject.figure for subject in SUBJECTS}))


@given(
    st.lists(
        st.tuples(figures, st.sampled_from(["netns", "uml"]), st.sampled_from(["direct", "gine"]), st.integers(1, 3)),
        unique=True,
        max_size=12,
    )
)
def test_no_two_models_are_of_the_same_quantity_and_backend(chosen: list[tuple[str, str, str, int]]) -> None:
    cells = []
    for figure, backend, wiring, place in chosen:
        own = [subject for subject in SUBJECTS if subject.figure == figure]
        parameters = {"wiring": wiring} | {subject.parameter: place for subject in own if subject.parameter}
        made = cell(figure, own[0].value, [], backend, **parameters)
        made["quantities"] = {subject.value: {"values": [1.0 + place, 1.1 + place]} for subject in own}
        cells.append(made | {"measured": 2})
    made = models(*cells)
    keys = [(model.quantity, model.backend) for model in made.models.values()]
    assert len(set(keys)) == len(keys)
    assert (not chosen) == (not keys)
