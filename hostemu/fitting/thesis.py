"""The thesis' published tables as models, so that what is asked of this machine can be asked of that of 2008."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from hostemu.base.units import NS_PER_S
from hostemu.fitting.action_costs import CORES_OF_HOST, NIC_QUEUE, ROUTER_QUEUE
from hostemu.fitting.choice import best_fit
from hostemu.fitting.fit import fit
from hostemu.fitting.memory import MEMORY_FORMS
from hostemu.fitting.models import Model, Models, Named, constant

Thesis = Mapping[str, Any]

MB = 1 << 20
"""Of the thesis' megabytes, read off `top`."""

GUEST_MB = "32"
"""Configured memory of the guests that tables 3 and 5 are about."""

CLIENTS = 100.0
"""Of table 1."""

FRAME_PAYLOAD_BITS = 1448 * 8
"""Of TCP, in a frame of 1500 bytes, with timestamps (RFC 7323) as Linux sends them."""

CORES = 2.0
"""Of the thesis' machine."""

BACKLOG_FRAMES = 1000.0
"""What Linux 2.6.16 lets wait for a CPU (net.core.netdev_max_backlog): the queue of a router, or of another guest."""

ALONE = 1
"""So many guests were no matter of memory: the thesis says that the product, or its system, allowed no more."""


def thesis_models(thesis: Thesis) -> Models:
    """The models of models/thesis-2008.toml.

    Of one published value nothing is known but itself: its interval is infinite.
    """
    return Models.made(_models(thesis), thesis["source"], host={})


def _models(thesis: Thesis) -> Iterator[Named]:
    yield from _memory(thesis)
    for program in ("iperf", "tbench"):
        for backend, kbps in thesis["table1"][program].items():
            found = fit("constant", [CLIENTS], [1000 * float(kbps)])
            yield f"{program}-{backend}-direct", Model(f"direct_{program}_bps", "clients", backend, found)
    for backend, kbps in thesis["table1"]["iperf"].items():
        yield from _costs(backend, 1000 * float(kbps))
    yield from _guests(thesis)
    for backend, terminals in thesis["terminals_per_guest"].items():
        yield f"terminals-{backend}-cycle", constant("terminals_per_guest", backend, [float(terminals)])


def _costs(backend: str, iperf_bps: float) -> Iterator[Named]:
    """CPU time for frames of 1500 bytes, of a guest and of one that routes; at most that.

    Derived, not published: while iperf fills a guest's NIC in one direction, the CPU is taken to be what limits it,
    each frame to cost the same, and ACKs nothing.  A frame passes a router's NIC twice.
    """
    frame_ns = FRAME_PAYLOAD_BITS * NS_PER_S / iperf_bps
    for quantity, value in (
        ("guest_frame_ns", frame_ns),
        ("router_frame_ns", 2 * frame_ns),
        (ROUTER_QUEUE, BACKLOG_FRAMES),
        (NIC_QUEUE, BACKLOG_FRAMES),
        (CORES_OF_HOST, CORES),
    ):
        yield f"{quantity.removesuffix('_ns').replace('_', '-')}-{backend}", constant(quantity, backend, [value])


def _memory(thesis: Thesis) -> Iterator[Named]:
    """Table 2: by configured size."""
    for backend, sizes in _memory_mb(thesis).items():
        x = [float(size) * MB for size in sizes]
        y = [float(taken) * MB for taken in sizes.values()]
        yield f"memory-{backend}", Model("memory_bytes", "configured_bytes", backend, best_fit(MEMORY_FORMS, x, y))


def _memory_mb(thesis: Thesis) -> dict[str, Mapping[str, float]]:
    return {backend: sizes for backend, sizes in thesis["table2"].items() if isinstance(sizes, Mapping)}


def _guests(thesis: Thesis) -> Iterator[Named]:
    """Table 3, and what table 2 would have it be: guests of 32 MB over the machine's memory."""
    budget = float(thesis["machine"]["memory_mb"]) * MB
    for backend, guests in thesis["table3"].items():
        if guests == ALONE:
            yield f"guests-{backend}", "one guest, for another reason than memory"
            continue
        yield (
            f"guests-{backend}",
            Model("guests", "budget_bytes", backend, fit("quotient", [budget], [float(guests)])),
        )
        each = float(_memory_mb(thesis)[backend][GUEST_MB]) * MB
        yield f"guests-by-memory-{backend}", _by_memory(backend, budget, each, float(guests))


def _by_memory(backend: str, budget: float, each: float, published: float) -> Model:
    """As many guests as fit beside each other; the residual is that of the published number."""
    alone = fit("quotient", [budget], [budget / each])
    return Model(
        "guests_by_memory",
        "budget_bytes",
        backend,
        replace(alone, residuals=((published - budget / each) / published,)),
    )
