"""A campaign's summary, asked for single cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hostemu.base.units import parse_size_bytes
from hostemu.measure.definition import BARE_HOST
from hostemu.measure.plan import LOOPBACK
from hostemu.report import published

JSON = dict[str, Any]

REFERENCES = ("netns", BARE_HOST)
"""Measured beside the thesis' backends, to compare with."""

THESIS_CLIENTS = 100
NOT_PART = "not part of this campaign"
NO_PROCESSES = "a guest without processes of its own: see its marginal cost"


class Results:
    """The cells of a summary; of none, when there is no campaign."""

    def __init__(self, summary: Mapping[str, Any] | None) -> None:
        self._summary: Mapping[str, Any] = summary or {"cells": [], "backends": {}, "definition": {}}

    def cell(self, figure: str, backend: str, **parameters: Any) -> JSON | None:
        """The cell of these parameters."""
        for cell in self._summary["cells"]:
            if (cell["figure"], cell["backend"], cell["parameters"]) == (figure, backend, parameters):
                found: JSON = cell
                return found
        return None

    def lacks(self, figure: str, backend: str) -> bool:
        """Whether the campaign measures a figure, but not of this backend."""
        return bool(self.settings(figure)) and backend not in self._summary["backends"]

    def settings(self, figure: str) -> JSON:
        """How the campaign measures a figure; empty when it does not."""
        found: JSON = self._summary["definition"].get(figure, {})
        return found

    def clients(self, program: str) -> JSON:
        """The parameter of the cells with as many clients as in the thesis; none where all cells have the same."""
        return {} if isinstance(self.settings(program).get("clients", 0), int) else {"clients": THESIS_CLIENTS}

    def clients_said(self, program: str) -> str:
        """With how many clients a program measured what tables 1 and 4 show, in words."""
        given = self.settings(program)["clients"]
        if isinstance(given, int) or THESIS_CLIENTS in given:
            return str(given if isinstance(given, int) else THESIS_CLIENTS)
        return f"nothing with {THESIS_CLIENTS} clients, only with {', '.join(map(str, given))}"

    def smallest(self) -> JSON:
        """The parameter of the cells with the smallest packets; none where all cells have the same."""
        given = self.settings("packets").get("payload", 0)
        return {} if isinstance(given, int) else {"payload": min(given)}

    def ways(self, figure: str) -> list[tuple[str, str]]:
        """Backend and wiring of every cell of a figure, each once."""
        cells = [cell for cell in self._summary["cells"] if cell["figure"] == figure]
        return list(dict.fromkeys((cell["backend"], cell["parameters"]["wiring"]) for cell in cells))

    def names(self) -> list[str]:
        """All backends: the thesis', then those of the campaign that the thesis does not have."""
        return list(dict.fromkeys([*published.BACKENDS, *self._summary["backends"]]))

    def guests(self) -> list[str]:
        """All backends that are guests."""
        return [name for name in self.names() if name != BARE_HOST]

    def direct(self, backend: str) -> str:
        """The wiring of a backend with nothing in between."""
        return LOOPBACK if backend == BARE_HOST else "direct"

    def wirings(self, backend: str) -> list[str]:
        """The wirings of a backend that tables show."""
        return [LOOPBACK] if backend == BARE_HOST else ["direct", "gine"]

    def sizes(self) -> list[str]:
        """The configured sizes of memory that the campaign measures."""
        return list(self.settings("memory").get("memory", ()))

    def budgets(self) -> list[tuple[str, JSON]]:
        """The budgets that guests are counted in: for people, and as a cell's parameters."""
        settings = self.settings("guests")
        named: list[tuple[str, JSON]] = [(text, {"budget": text}) for text in settings.get("budgets", ())]
        return named + [
            (f"{100 * share:g} % of this machine", {"share": share}) for share in settings.get("shares", ())
        ]

    def notes(self, backend: str, parameters: JSON) -> list[str]:
        """What ended the ramps of a backend."""
        cell = self.cell("guests", backend, **parameters)
        return [] if cell is None else list(cell["notes"])

    def rated(self, column: str, backend: str) -> float | None:
        """The figure that table 4's rule is applied to; None when it was not measured."""
        if column == "throughput":
            shares = [share for program in ("iperf", "tbench") for share in self._share(program, backend)]
            return sum(shares) / len(shares) if shares else None
        if column == "memory":
            value = self._mean("memory", backend, "memory_bytes", memory="32 MiB")
            return None if value is None else value / parse_size_bytes("32 MiB")
        if column == "guests":
            return self._mean("guests", backend, "guests", budget="2 GiB")
        return self._mean("ease", backend, "screens" if column == "gui" else "steps")

    def _share(self, program: str, backend: str) -> Iterator[float]:
        """A backend's throughput over the best guest kernel's; over the best of all where there is none."""
        own = self._throughput(program, backend)
        kernels = [self._throughput(program, name) for name in self.guests() if name not in REFERENCES]
        others = [self._throughput(program, name) for name in self.guests()]
        best = max(filter(None, kernels), default=None) or max(filter(None, others), default=None)
        if own is not None and best is not None:
            yield own / best

    def _throughput(self, program: str, backend: str) -> float | None:
        """Direct where that was measured, else through the emulator."""
        clients = self.clients(program)
        direct = self._mean(program, backend, f"{program}_bps", wiring="direct", **clients)
        return self._mean(program, backend, f"{program}_bps", wiring="gine", **clients) if direct is None else direct

    def _mean(self, figure: str, backend: str, quantity: str, **parameters: Any) -> float | None:
        cell = self.cell(figure, backend, **parameters)
        found = None if cell is None else cell["quantities"].get(quantity)
        return None if found is None else float(found["mean"])
