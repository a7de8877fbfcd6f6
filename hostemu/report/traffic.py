"""Tables of what a campaign measured with traffic at several sizes: clients, payloads, guests, routers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from hostemu.measure.summary import unit_of
from hostemu.report.figures import SCALES
from hostemu.report.results import Results
from hostemu.report.table_data import TableData, measured_cell


@dataclass(frozen=True)
class Spread:
    """A figure's quantity by one of its settings.  is_for_several: shown only where that has more than one value."""

    title: str
    figure: str
    quantity: str
    setting: str
    is_for_several: bool = False
    note: str = ""


IPERF_CLIENTS = "clients of iperf in every guest, the server on the host"
FORWARDING = "direct: the guest is the router; gine: the emulator; ≥: no more was offered, and next to none was lost"
WHOLE_BURST = "≥: the longest burst that was tried got through whole"
SPREADS = (
    Spread("Throughput by iperf", "iperf", "iperf_bps", "clients", is_for_several=True),
    Spread("Throughput by tbench", "tbench", "tbench_bps", "clients", is_for_several=True),
    Spread("Packets by payload in bytes", "packets", "packets_per_s", "payload", is_for_several=True),
    Spread("Total throughput of guests at the same time", "sharing", "sharing_bps", "guests", note=IPERF_CLIENTS),
    Spread("The same of the slowest guest", "sharing", "sharing_least_bps", "guests"),
    Spread("The host's busy cores meanwhile", "sharing", "sharing_busy_cores", "guests"),
    Spread("Frames through an overloaded router", "router", "router_frames_per_s", "payload", note=FORWARDING),
    Spread("Frames that can wait for a router", "router", "router_queue_frames", "payload", note=WHOLE_BURST),
)


def traffic_tables(results: Results) -> Iterator[TableData]:
    """A table of every spread that the campaign has."""
    for spread in SPREADS:
        given = results.settings(spread.figure).get(spread.setting)
        if given is not None and not (spread.is_for_several and isinstance(given, int)):
            yield _table(results, spread, given)


def _table(results: Results, spread: Spread, given: int | list[int]) -> TableData:
    unit = SCALES[unit_of(spread.quantity)].unit
    values = [given] if isinstance(given, int) else given
    table = TableData(
        f"{spread.title}, {unit}" if unit else spread.title,
        [f"{spread.setting} {value}" for value in values],
        notes=[spread.note] if spread.note else [],
    )
    for backend, wiring in results.ways(spread.figure):
        parameters = [{} if isinstance(given, int) else {spread.setting: value} for value in values]
        cells = [
            measured_cell(results, spread.figure, backend, spread.quantity, wiring=wiring, **chosen)
            for chosen in parameters
        ]
        table.add(f"{backend}, {wiring}", cells)
    return table
