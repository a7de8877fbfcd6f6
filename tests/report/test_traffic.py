"""Tables of what was measured at several sizes; tables 1 to 4 take the thesis' number of clients from them."""

from __future__ import annotations

from typing import Any

from hostemu.report.table_data import TableData
from hostemu.report.tables import tables
from tests.report.summaries import DEFINITION, Values, made_up

TRAFFIC = {"repeats": 3, "timeout": "9 s", "memory": "64 MiB", "duration": "1 s"}
PACKETS = {**TRAFFIC, "rate": 1000, "payload": [200, 18]}
ROUTER = {**TRAFFIC, "payload": [18, 1400]}
MEASURED: tuple[Values, ...] = (
    ("iperf", "uml", {"wiring": "direct", "clients": 1}, {"iperf_bps": 2e9}),
    ("iperf", "uml", {"wiring": "direct", "clients": 100}, {"iperf_bps": 3 * 376.424e6}),
    ("packets", "uml", {"wiring": "gine", "payload": 18}, {"packets_per_s": 14e3}),
    ("packets", "uml", {"wiring": "gine", "payload": 200}, {"packets_per_s": 12e3}),
    (
        "sharing",
        "uml",
        {"wiring": "direct"},
        {"sharing_bps": 9e8, "sharing_least_bps": 2e8, "sharing_busy_cores": 1.9},
    ),
    ("router", "uml", {"wiring": "direct", "payload": 18}, {"router_frames_per_s": 2e4, "router_queue_frames": 500}),
    (
        "router",
        "netns",
        {"wiring": "gine", "payload": 18},
        {"router_frames_at_least_per_s": 3e5, "router_burst_frames": 20_000},
    ),
)


def made(clients: list[int]) -> dict[str, TableData]:
    """The tables of a campaign that varied everything, by title; of iperf's, with these clients."""
    iperf: dict[str, Any] = {**DEFINITION["iperf"], "clients": clients}  # type: ignore[dict-item]
    sharing = {**TRAFFIC, "guests": 4, "clients": 4}
    summary = made_up(*MEASURED, iperf=iperf, packets=PACKETS, sharing=sharing, router=ROUTER)
    return {table.title: table for table in tables(summary)}


def row(table: TableData, name: str) -> list[dict[str, Any]]:
    """The cells of a row."""
    return dict(table.rows)[name]


def texts(table: TableData, name: str) -> list[str]:
    """What a row says."""
    return [cell.get("text", "") for cell in row(table, name)]


def test_table_1_and_the_ratings_are_those_of_100_clients() -> None:
    found = made([1, 100])
    table = found["Table 1: throughput host – guest by iperf, Mbit/s"]
    _, direct, ratio, _, _ = row(table, "uml")
    assert (direct["mean"], round(ratio["value"], 6)) == (3 * 376.424e6, 3)
    assert any("measured: 100 clients" in note for note in table.notes)
    assert row(found["Table 4: ratings"], "uml")[0]["figure"] == 1  # the best kernel, with 100 clients


def test_without_100_clients_table_1_has_no_figure_and_says_so() -> None:
    table = made([1, 4])["Table 1: throughput host – guest by iperf, Mbit/s"]
    assert row(table, "uml")[1] == {"is": "nothing"}
    assert any("nothing with 100 clients, only with 1, 4" in note for note in table.notes)


def test_every_size_is_a_column() -> None:
    found = made([1, 100])
    by_clients = found["Throughput by iperf, Mbit/s"]
    assert by_clients.headings == ["clients 1", "clients 100"]
    assert texts(by_clients, "uml, direct") == ["2,000.0 ± 0.0 (n=3)", "1,129.3 ± 0.0 (n=3)"]
    assert "Throughput by tbench, Mbit/s" not in found  # one number of clients: it is in table 1
    by_payload = found["Packets by payload in bytes, thousand/s"]
    assert by_payload.headings == ["payload 200", "payload 18"]
    assert texts(by_payload, "uml, gine") == ["12.0 ± 0.0 (n=3)", "14.0 ± 0.0 (n=3)"]
    assert row(found["Beyond the tables"], "uml: small packets, thousand/s, gine")[1]["mean"] == 14e3


def test_guests_that_share_are_shown_whether_or_not_their_number_varies() -> None:
    total = made([100])["Total throughput of guests at the same time, Mbit/s"]
    assert total.headings == ["guests 4"]
    assert texts(total, "uml, direct") == ["900.0 ± 0.0 (n=3)"]


def test_a_router_that_could_not_be_overloaded_does_at_least_so_much() -> None:
    found = made([100])
    rates, queues = (
        found["Frames through an overloaded router, thousand/s"],
        found["Frames that can wait for a router"],
    )
    assert texts(rates, "uml, direct")[0] == "20.0 ± 0.0 (n=3)"
    assert texts(rates, "netns, gine")[0] == "≥ 300.0 ± 0.0 (n=3)"
    assert row(rates, "netns, gine")[0]["at_least"]
    assert texts(queues, "uml, direct")[0] == "500 ± 0 (n=3)"
    assert texts(queues, "netns, gine")[0] == "≥ 20,000 ± 0 (n=3)"
    assert texts(rates, "uml, direct")[1] == "not measured yet"
