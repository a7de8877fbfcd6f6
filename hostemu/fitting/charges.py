"""What guests in virtual time are charged, from files of costs or of models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hostemu.base.errors import InputError
from hostemu.base.units import NS_PER_S
from hostemu.fitting.action_costs import UNKNOWN
from hostemu.fitting.files import holds_models
from hostemu.fitting.models import Model, Models, find_models, load_models, require_host
from hostemu.measure.costs import ENTRIES, Costs, Provenance, load_costs

FRAME, KIB = "guest_frame", "guest_kib"
STREAM, OVER = "stream_frames_per_s", "frame_bytes"
"""What a guest takes of a TCP stream, by the size of frames."""


def load_charged(name_or_path: str, backend: str, facts: Mapping[str, Any]) -> Costs:
    """The costs in a file of either kind of which guests in virtual time can be charged; see `charged_from_models`.

    backend, facts: as of `load_costs_or_models`.  InputError, which names the file, when there are none.
    """
    path = find_models(name_or_path)
    if holds_models(path):
        models = load_models(path)
        require_host(models, facts, path)
        costs = charged_from_models(models, backend)
    else:
        costs = load_costs(path)
    if costs.charge.is_free:
        raise InputError(
            f"{path}: there is nothing to charge {backend} guests with",
            expected="what a frame (guest_frame and guest_kib, or stream_frames_per_s), a system call (guest_call) "
            "or a page fault (guest_fault) takes a guest's CPU",
            found="none of these",
            hint="`hostemu calibrate charges` measures it here; thesis-2008-models has it of the thesis' guests",
        )
    return costs


def charged_from_models(models: Models, backend: str) -> Costs:
    """What the kernel of a guest of this backend takes for a frame, its bytes, and a program's call.

    A frame is one of a TCP stream that fills the guest's CPU, unless the models say it by themselves.  Costs of whole
    actions, of which frames are a part, are left out.  What is not known costs nothing; `extras` names it.
    """
    said = {name: models.get(f"{name}_ns", backend) for name in (FRAME, KIB, *ENTRIES)}
    figures = {name: model.at(1.0).value for name, model in said.items() if model is not None}
    stream = models.get(STREAM, backend, OVER)
    if stream is not None and FRAME not in figures:
        figures |= _frame_of_stream(stream)
    unknown = [name for name in (FRAME, *ENTRIES) if name not in figures]
    return Costs(
        **{f"{name}_ns": round(value) for name, value in figures.items()},
        source=f"models of {models.source}, {backend} guests",
        extras={UNKNOWN: ", ".join(unknown)} if unknown else {},
        provenance=Provenance(models.source, models.measured_at, models.host),
    )


def _frame_of_stream(stream: Model) -> Iterator[tuple[str, float]]:
    """Nanoseconds per frame, and per KiB of it: the line through both ends of the range that was measured."""
    short, long = stream.fit.least, stream.fit.most
    short_ns, long_ns = (NS_PER_S / stream.at(size).value for size in (short, long))
    per_byte_ns = max(0.0, (long_ns - short_ns) / (long - short)) if long > short else 0.0
    yield FRAME, short_ns - per_byte_ns * short
    yield KIB, 1024 * per_byte_ns
