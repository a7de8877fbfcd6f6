"""Models of what a campaign measured with traffic, and of guests' times to boot, and to enter their kernels.

The points of a model are the single values of all cells that differ in one parameter only.  A campaign that measured
at one value of it has a constant model, whose range is that value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from hostemu.fitting.cells import Cell, Summary, values_in
from hostemu.fitting.choice import best_fit
from hostemu.fitting.models import ANY, Model, constant

CROWD = ("constant", "shared", "scalability")
"""What many reach together: always the same, limited by what is done one at a time, less for getting in the way."""

SERVICE = ("service_rate",)
"""A frame takes a time of its own, and a time for each of its bytes."""


@dataclass(frozen=True)
class Subject:
    """What is modelled.

    figure, value: where it is found in a campaign.  over: of what it is a function, "any" of nothing.
    parameter: the cell's parameter, and the figure's setting, that says it.
    forms: those that are possible where there are several values of it.
    unnamed: the wiring that quantities do not name.
    measured: the value that says it instead, where it is not given but found.
    """

    figure: str
    value: str
    over: str = ANY
    parameter: str = ""
    forms: tuple[str, ...] = ()
    unnamed: str = ""
    measured: str = ""

    def points(self, summary: Summary, cell: Cell) -> list[tuple[float | None, float]]:
        """(x, y) of every value; x None where nothing says it."""
        values = _values(cell, self.value)
        x: Sequence[float | None] = _values(cell, self.measured) if self.measured else ()
        if len(x) != len(values):
            x = [self.x(summary, cell)] * len(values)
        return list(zip(x, values, strict=True))

    def x(self, summary: Summary, cell: Cell) -> float | None:
        """At what the cell was measured: by its parameters, or its figure's setting; None where nothing says it."""
        given = summary.get("definition", {}).get(self.figure, {}).get(self.parameter)
        found = cell["parameters"].get(self.parameter, given)
        return float(found) if isinstance(found, (int, float)) else None

    def wiring(self, cell: Cell) -> str:
        """The cell's wiring, as quantities name it."""
        named: str = cell["parameters"].get("wiring", "")
        return "" if named == self.unnamed else named


SUBJECTS = (
    Subject("iperf", "iperf_bps", "clients", "clients", CROWD),
    Subject("tbench", "tbench_bps", "clients", "clients", CROWD),
    Subject("packets", "packets_per_s", "payload_bytes", "payload", SERVICE),
    Subject(
        "stream", "stream_frames_per_s", "frame_bytes", forms=SERVICE, unnamed="direct", measured="stream_frame_bytes"
    ),
    Subject("sharing", "sharing_bps", "guests", "guests", CROWD),
    Subject("router", "router_frames_per_s", "payload_bytes", "payload", SERVICE, unnamed="direct"),
    Subject("router", "router_queue_frames", unnamed="direct"),
    Subject("boot", "boot_s"),
    Subject("entries", "guest_call_ns"),
    Subject("entries", "guest_fault_ns"),
)


def throughput_models(summary: Summary) -> Iterator[tuple[str, Model]]:
    """Name and model of every subject that has at least two values; one for each backend and wiring."""
    for subject in SUBJECTS:
        for (backend, wiring), cells in _grouped(summary, subject).items():
            model = _model(summary, subject, backend, wiring, cells)
            if model is not None:
                yield _label(subject, backend, wiring), model


def _grouped(summary: Summary, subject: Subject) -> dict[tuple[str, str], list[Cell]]:
    """The subject's cells by backend and wiring."""
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in summary["cells"]:
        if cell["figure"] == subject.figure:
            groups.setdefault((cell["backend"], subject.wiring(cell)), []).append(cell)
    return groups


def _label(subject: Subject, backend: str, wiring: str) -> str:
    """A name for people; a figure with more than one subject has the value's."""
    others = [other for other in SUBJECTS if other.figure == subject.figure and other.value != subject.value]
    first = subject.value.replace("_", "-") if others else subject.figure
    return "-".join(filter(None, (first, backend, wiring)))


def _model(summary: Summary, subject: Subject, backend: str, wiring: str, cells: Sequence[Cell]) -> Model | None:
    """The model of these cells; None for fewer than two values."""
    points = [point for cell in cells for point in subject.points(summary, cell)]
    y = [value for _, value in points]
    if len(y) < 2 or min(y) <= 0:
        return None
    x = [place for place, _ in points if place is not None]
    over = subject.over if len(x) == len(y) else ANY
    quantity = f"{wiring}_{subject.value}" if wiring else subject.value
    if over == ANY:
        return constant(quantity, backend, y)
    forms = subject.forms if len(set(x)) > 1 else ("constant",)
    return Model(quantity, over, backend, best_fit(forms, x, y))


def _values(cell: Cell, name: str) -> Sequence[float]:
    """A cell's values; none where a repeat lacks it, since that was beyond what the campaign could reach."""
    values = values_in(cell, name)
    return values if len(values) == cell.get("measured", len(values)) else ()
