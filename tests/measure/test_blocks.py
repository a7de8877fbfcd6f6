"""Blocks of a campaign, measured for real on network namespaces and on the bare host, as short as they can be."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.errors import DeadlineExceeded, GuestError, RunError
from hostemu.guests.fake import FakeBackend, Faults
from hostemu.lab import call_in_lab
from hostemu.measure import boot_time, memory
from hostemu.measure.bench import Bench, Sample
from hostemu.measure.block import KINDS, Order, _check, load_now
from hostemu.measure.definition import FIGURES
from hostemu.measure.plan import Block, Cell
from tests.guests.kernels import lean_kernel, may_build
from tests.lab.needs import needs_lab
from tests.measure.builders import TRAFFIC, campaign, document

THROUGHPUT = {
    "repeats": 2,
    "per_guest": 2,
    "warm_up": 1,
    "timeout": "60 s",
    "memory": "64 MiB",
    "clients": 4,
    "duration": "1 s",
}
PACKETS = {"repeats": 1, "timeout": "60 s", "memory": "64 MiB", "payload": 18, "rate": 20000, "duration": "1 s"}
NOTHING = {"iperf": None, "memory": None, "guests": None, "boot": None, "costs": None}
ROUTER = {**TRAFFIC, "repeats": 1, "duration": "200 ms", "payload": 18, "bursts": 1, "burst": 3000}
SPARE_FRAMES = 20_000
"""More than can wait in front of a router when counting begins."""

NOISE_FRAMES = 10
"""A kernel says a word of its own now and then."""

QUIET = {"before": "50 ms"}


def only(figure: str, **settings: Any) -> dict[str, Any]:
    """A campaign of one figure."""
    return document(**{**NOTHING, figure: settings}, quiet=QUIET, order="listed")


def measured(folder: Path, definition: dict[str, Any], *backends: str) -> list[dict[str, Any]]:
    """The measurements that a campaign's blocks give in a lab."""
    argument = {"campaign": definition, "backends": list(backends), "folder": str(folder)}
    found: list[dict[str, Any]] = []

    def take(event: dict[str, Any]) -> None:
        if "measured" in event:
            found.append(event["measured"])

    call_in_lab("tests.measure.inside:blocks", argument, on_event=take, timeout_s=240)
    return found


@needs_lab
@pytest.mark.skipif(shutil.which("iperf") is None, reason="not found: iperf")
def test_iperf_is_measured_over_every_wiring_after_a_warm_up(tmp_path: Path) -> None:
    found = measured(tmp_path, only("iperf", **THROUGHPUT), "host", "netns")
    assert [(m["backend"], m["parameters"]["wiring"], m["repeat"], m["warm_up"]) for m in found] == [
        (backend, wiring, repeat, warm_up)
        for backend, wiring in (("host", "loopback"), ("netns", "direct"), ("netns", "gine"))
        for repeat, warm_up in ((1, True), (1, False), (2, False))
    ]
    for m in found:
        assert m["values"]["iperf_bps"] > 10e6
        assert len(m["raw"]["received_bytes"]) == 4
        assert 0.5 < m["duration_s"] < 30
        assert 0 <= m["load_before"]["busy"] <= 1
        assert m["load"]["windows"] >= 1
        assert m["at"].endswith("+00:00")


@needs_lab
@pytest.mark.skipif(shutil.which("iperf3") is None, reason="not found: iperf3")
def test_iperf3_stands_in_where_iperf_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("python3", "iperf3", "true", "sleep"):
        found_at = shutil.which(name)
        if found_at is not None:
            (programs / name).symlink_to(found_at)
    monkeypatch.setenv("PATH", str(programs))
    short = {**THROUGHPUT, "repeats": 1, "warm_up": 0, "wirings": ["direct"]}
    (iperf,) = measured(tmp_path / "a", only("iperf", **short), "netns")
    assert iperf["values"].keys() == {"iperf3_bps"}
    assert iperf["values"]["iperf3_bps"] > 10e6
    (packets,) = measured(tmp_path / "b", only("packets", **PACKETS, wirings=["direct"]), "netns")
    assert packets["raw"]["tool"] == "iperf3"
    assert packets["values"]["packets_per_s"] > 1000


@needs_lab
@pytest.mark.skipif(shutil.which("tbench") is None, reason="not found: tbench")
def test_tbench_is_measured(tmp_path: Path) -> None:
    short = {**THROUGHPUT, "repeats": 1, "warm_up": 0, "duration": "2 s", "client_lines": 2000}
    found = measured(tmp_path, only("tbench", **short), "host", "netns")
    assert [m["parameters"]["wiring"] for m in found] == ["loopback", "direct", "gine"]
    assert all(m["values"]["tbench_bps"] > 1e6 for m in found)
    assert len((tmp_path / "0" / "client.txt").read_text().splitlines()) == 2000


@needs_lab
@pytest.mark.skipif(shutil.which("iperf") is None, reason="not found: iperf")
def test_small_packets_are_counted_where_they_arrive(tmp_path: Path) -> None:
    found = measured(tmp_path, only("packets", **PACKETS, wirings=["gine"]), "host", "netns")
    assert [m["parameters"]["wiring"] for m in found] == ["loopback", "gine"]
    for m in found:
        assert 1000 < m["values"]["packets_per_s"] < 30_000  # 20,000 were offered


@needs_lab
@pytest.mark.skipif(shutil.which("iperf") is None, reason="not found: iperf")
def test_guests_work_at_the_same_time_over_every_wiring(tmp_path: Path) -> None:
    settings = {**TRAFFIC, "repeats": 1, "guests": [2], "clients": 2, "wirings": ["direct", "gine"]}
    found = measured(tmp_path, only("sharing", **settings), "host", "netns")
    assert [m["parameters"] for m in found] == [{"wiring": name, "guests": 2} for name in ("direct", "gine")]
    for m in found:
        rates = m["raw"]["guest_bps"]
        assert len(rates) == 2
        assert 1e6 < m["values"]["sharing_least_bps"] == min(rates)
        assert m["values"]["sharing_bps"] == pytest.approx(sum(rates))
        assert 0 < m["values"]["sharing_busy_cores"] <= len(os.sched_getaffinity(0))


@needs_lab
def test_routers_forward_what_they_are_sent(tmp_path: Path) -> None:
    found = measured(tmp_path, only("router", **ROUTER), "netns")
    assert [m["parameters"] for m in found] == [{"wiring": "direct"}, {"wiring": "gine"}]
    for m in found:
        check_router(m)


@needs_lab
@may_build
def test_a_kernel_of_its_own_forwards_too(tmp_path: Path) -> None:
    lean_kernel("uml")
    (found,) = measured(tmp_path, only("router", **ROUTER), "uml")
    assert found["raw"]["forwarded"] > 100
    check_router(found)


@needs_lab
@may_build
@pytest.mark.skipif(shutil.which("iperf3") is None, reason="not found: iperf3")
def test_a_stream_without_segmentation_offload_has_frames_of_a_segment_each(tmp_path: Path) -> None:
    lean_kernel("uml")
    settings = {**TRAFFIC, "repeats": 1, "duration": "1 s", "segment": [500, 1460], "wirings": ["direct"]}
    found = measured(tmp_path, only("stream", **settings), "netns", "uml")
    for m in found:
        payload = m["parameters"]["segment"] - 12  # of which timestamps are a part
        assert 66 < m["values"]["stream_frame_bytes"] <= payload + 66
        sent = m["values"]["stream_bps"] / 8 / payload
        assert m["raw"]["frames"] > 0.9 * sent
        assert sum(name.endswith("per_s") for name in m["values"]) == 1


@needs_lab
@may_build
def test_system_calls_and_page_faults_take_a_kernel_in_a_process_longer(tmp_path: Path) -> None:
    lean_kernel("uml")
    settings = {"repeats": 1, "timeout": "60 s", "calls": 20_000, "children": 30}
    here, there = measured(tmp_path, only("entries", **settings), "netns", "uml")
    for name in ("guest_call_ns", "guest_fault_ns"):
        assert 0 < here["values"][name] < there["values"][name] < 10e6
    assert here["raw"]["faults_of_child"] == pytest.approx(there["raw"]["faults_of_child"], rel=0.1)


def check_router(measured: dict[str, Any]) -> None:
    """What came out went in; what is told of the queue goes with what was lost."""
    raw, values = measured["raw"], measured["values"]
    assert 0 < raw["forwarded"] <= raw["offered"] + SPARE_FRAMES
    assert sum(name.startswith("router_frames") for name in values) == 1
    assert 0 < values["router_burst_frames"] <= ROUTER["burst"] + NOISE_FRAMES
    assert ("router_queue_frames" in values) == (values["router_burst_frames"] < ROUTER["burst"])
    assert values.get("router_queue_frames", 0) <= values["router_burst_frames"]


@needs_lab
def test_memory_boot_and_ease_are_measured(tmp_path: Path) -> None:
    guest = {"repeats": 1, "timeout": "60 s", "memory": "32 MiB"}
    settings = {**guest, "memory": ["16 MiB", "32 MiB"], "settle": "50 ms", "marginal_guests": 3}
    found = measured(tmp_path, only("memory", **settings), "netns")
    assert [m["parameters"]["memory"] for m in found] == ["16 MiB", "32 MiB"]
    assert all(m["values"].keys() == {"memory_marginal_bytes"} for m in found)  # a namespace has no processes
    (boot,) = measured(tmp_path, only("boot", **guest), "netns")
    assert 0 < boot["values"]["boot_s"] < 10
    (ease,) = measured(tmp_path, only("ease", **guest), "netns")
    values = ease["values"]
    assert values["commands"] == values["prepared"] == values["screens"] == 0
    assert values["steps"] == values["files"] + values["settings"] + values["privileges"]
    assert values["settings"] >= 6  # two interfaces with a MAC address, an address and a neighbour each
    assert "namespaces" in ease["raw"]["privileges"]
    assert ease["raw"]["wiring"] == "direct"


@needs_lab
def test_memory_grows_with_the_terminals_in_a_guest(tmp_path: Path) -> None:
    settings = {"repeats": 1, "timeout": "60 s", "memory": "32 MiB", "terminals": [0, 50, 2000], "settle": "0 s"}
    none, few, many = measured(tmp_path, only("load", **settings), "netns")
    assert none["values"].keys() == {"terminals_kernel_bytes"}  # a namespace has no processes
    taken = [found["values"]["memory_bytes"] for found in (few, many)]
    assert taken[1] - taken[0] > 1950 * 500
    assert many["values"]["terminals_kernel_bytes"] > 2000 * 500


@needs_lab
def test_single_actions_cost_cpu_time(tmp_path: Path) -> None:
    settings = {"repeats": 2, "per_guest": 2, "timeout": "60 s", "each": "100 ms"}
    found = measured(tmp_path, only("actions", **settings), "netns")
    assert [m["repeat"] for m in found] == [1, 2]
    for m in found:
        assert m["values"].keys() == {"authentication_ns", "authentication_xor_ns", "connection_ns"}
        for name, raw in m["raw"].items():
            assert m["values"][f"{name}_ns"] == pytest.approx(raw["cpu_s"] * 1e9 / raw["count"])
            assert 0 <= m["values"][f"{name}_ns"] < 10e6


@needs_lab
def test_guests_are_started_until_the_campaign_says_stop_and_all_of_them_answer(tmp_path: Path) -> None:
    settings = {"repeats": 1, "timeout": "60 s", "memory": "32 MiB", "budgets": ["2 GiB"], "at_most": 23}
    (found,) = measured(tmp_path, only("guests", **settings), "netns")
    assert found["values"]["guests"] == 23
    assert found["raw"]["ended_by"] == "the campaign's limit of 23 guests"
    assert found["raw"]["silent_to_ping"] == found["raw"]["silent_to_commands"] == []


@needs_lab
def test_a_small_budget_ends_a_ramp_early(tmp_path: Path) -> None:
    settings = {"repeats": 1, "timeout": "60 s", "memory": "32 MiB", "shares": [0.0001], "at_most": 1000}
    (found,) = measured(tmp_path, only("guests", **settings), "netns")
    assert found["values"]["guests"] < 1000
    assert found["raw"]["ended_by"] == "0.01 % of the machine's available memory"


@needs_lab
def test_a_guest_that_does_not_start_ends_a_ramp_and_silent_ones_do_not_count(tmp_path: Path) -> None:
    seen = call_in_lab("tests.measure.inside:faulty_ramp", str(tmp_path), timeout_s=60)
    assert seen["raw"]["started"] == 5
    assert seen["raw"]["ended_by"].startswith("guest 6 could not be started: guest guest-5 cannot be started")
    assert seen["values"]["guests"] == 0
    assert len(seen["raw"]["silent_to_ping"]) == 5
    assert seen["raw"]["silent_to_commands"] == []
    assert any(note.startswith("5 guests") for note in seen["notes"])


@needs_lab
def test_terminals_of_a_guest_are_found_by_doubling(tmp_path: Path) -> None:
    settings = {"repeats": 1, "timeout": "2 min", "memory": "32 MiB", "first": 50, "at_most": 150, "hold": "1 s"}
    cycling, on = measured(tmp_path, only("terminals", **settings), "netns")
    assert (cycling["parameters"], on["parameters"]) == ({"power": "cycle"}, {"power": "on"})
    for found in (cycling, on):
        assert found["values"] == {"terminals": 150}
        assert found["raw"]["tried"] == {"50": "", "100": "", "150": ""}
        assert found["raw"]["ended_by"] == "the campaign's limit of 150 terminals"


@needs_lab
def test_host_and_guest_reach_each_other_over_every_wiring(tmp_path: Path) -> None:
    reached = ["10.0.0.2", "10.9.0.7"]
    assert call_in_lab("tests.measure.inside:wirings", str(tmp_path), timeout_s=120) == {
        "direct": [reached, False],
        "gine": [reached, False],
    }


@needs_lab
def test_the_hosts_side_knows_when_servers_listen(tmp_path: Path) -> None:
    seen = call_in_lab("tests.measure.inside:host_ends", str(tmp_path), timeout_s=60)
    assert seen["connects"] == [True, False]
    assert seen["datagrams"] == 7
    assert "has ended" in seen["ended"]
    assert seen["absent"] == "the host cannot start no-such-program"


def bench(folder: Path, figure: str, **faults: frozenset[str]) -> Bench:
    """A bench of fake guests."""
    settings = dict(campaign(**{figure: _SETTINGS[figure]}).figures())[figure]
    return Bench(FakeBackend(Faults(**faults)), settings, {"memory": "16 MiB"}, folder)  # type: ignore[arg-type]


_SETTINGS: dict[str, Any] = {
    "boot": {"repeats": 1, "timeout": "9 s", "memory": "32 MiB", "start": "50 ms"},
    "memory": {"repeats": 1, "timeout": "9 s", "memory": ["16 MiB"], "settle": "0 s", "start": "50 ms"},
}


def test_a_guest_that_does_not_start_or_answer_is_an_error_and_no_number(tmp_path: Path) -> None:
    with boot_time.opened(bench(tmp_path, "boot")) as once:
        assert once().values["boot_s"] > 0
    failing = bench(tmp_path, "boot", fails_to_start=frozenset({"guest"}))
    with boot_time.opened(failing) as once, pytest.raises(GuestError):
        once()
    silent = bench(tmp_path, "boot", never_ready=frozenset({"guest"}))
    with boot_time.opened(silent) as once, pytest.raises(DeadlineExceeded, match="guest"):
        once()
    last = bench(tmp_path, "memory", fails_to_start=frozenset({"guest-3"}))
    with memory.opened(last) as once, pytest.raises(GuestError, match="guest-3"):
        once()


@pytest.mark.parametrize("values", [{}, {"boot_s": float("nan")}, {"boot_s": float("inf")}])
def test_what_is_no_number_is_no_measurement(values: dict[str, float]) -> None:
    with pytest.raises(RunError, match="no number"):
        _check(Sample(values))


def test_every_figure_is_measured_somewhere() -> None:
    assert set(KINDS) | {"costs"} == set(FIGURES)


def test_an_order_survives_the_way_into_the_lab(tmp_path: Path) -> None:
    order = Order(campaign(), Block(Cell("memory", "uml", (("memory", "16 MiB"),)), (2, 3), 1), tmp_path)
    assert Order.from_json(order.as_json()) == order


def test_the_load_is_a_share() -> None:
    found = load_now(0.2)
    assert set(found) == {"busy", "steal"}
    assert all(0 <= share <= 1 for share in found.values())
