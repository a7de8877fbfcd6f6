"""Models of the CPU time of single actions: constants, from a campaign's figures; and cost models made of them."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import Any

from hostemu.base.errors import InputError
from hostemu.fitting.cells import Summary, pooled
from hostemu.fitting.models import Models, Named, constant
from hostemu.measure.costs import ENTRIES, FIGURES, OPTIONAL, Costs, Provenance

MEASURED_BY = ("costs", "actions")
"""The figures of campaigns that measure CPU time of actions."""

ROUTER_QUEUE, NIC_QUEUE, CORES_OF_HOST = "router_backlog_frames", "nic_queue_frames", "cores"
"""Quantities that a cost model may have beside CPU times: what waits for a router that is no emulator (the router of
campaigns, with `router_queue_frames`, is another than that which costs are measured of), and at a guest's NIC; cores,
which are a fact of the host where one is known."""

UNKNOWN = "not known"
"""In the extras of a cost model: figures that its models do not have, and that are taken for nothing."""


def cost_models(summary: Summary, backend: str) -> Iterator[Named]:
    """Every action's mean CPU time on guests of a backend."""
    for figure in (*FIGURES, *OPTIONAL):
        values = [value for by in MEASURED_BY for value in pooled(summary, by, backend, f"{figure}_ns")]
        name = f"cost-{figure.replace('_', '-')}-{backend}"
        if values and min(values) > 0:
            yield name, constant(f"{figure}_ns", backend, values)
        elif values:
            yield name, f"too small to be told from nothing: {fmean(values):,.0f} ns at a mean"


def costs_from_models(models: Models, backend: str) -> Costs:
    """The cost model that these models make for guests of a backend.

    Figures that they do not have cost nothing, and are named in `extras`.  InputError when they have none of them.
    """
    found = {name: models.get(f"{name}_ns", backend) for name in (*FIGURES, *OPTIONAL)}
    known = {name: model for name, model in found.items() if model is not None}
    if not known.keys() - set(ENTRIES):
        having = sorted(
            {
                m.backend
                for m in models.models.values()
                if m.quantity.removesuffix("_ns") in found.keys() - set(ENTRIES)
            }
        )
        raise InputError(
            f"the models of {models.source} have no CPU times of {backend} guests",
            expected=f"--backend {' or '.join(having)}" if having else "models of a campaign that measures costs",
            found=f"--backend {backend}",
            hint=None if having else f"measure them with `hostemu calibrate costs --backend {backend}`",
        )
    figures: dict[str, Any] = {f"{name}_ns": round(model.at(1.0).value) for name, model in known.items()}
    unknown = [name for name in FIGURES if name not in known]
    beside = (models.get(quantity, backend) for quantity in (CORES_OF_HOST, ROUTER_QUEUE, NIC_QUEUE))
    cores, router, nic = (None if model is None else round(model.at(1.0).value) for model in beside)
    return Costs(
        **figures,
        cores=int(models.host.get("cores", 1)) if cores is None else cores,
        router_queue_frames=router or 0,
        nic_queue_frames=nic or 0,
        source=f"models of {models.source}, {backend} guests",
        extras={UNKNOWN: ", ".join(unknown)} if unknown else {},
        provenance=Provenance(models.source, models.measured_at, models.host),
    )
