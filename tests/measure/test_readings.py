"""What measuring programs and the kernel say, read: good output, and every kind of bad one."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import CommandFailed, RunError
from hostemu.measure.echo import checksum, echo_request
from hostemu.measure.frame_rate import rates
from hostemu.measure.host_end import arrived_datagrams, ports_in_state
from hostemu.measure.kernel_entries import faults_in
from hostemu.measure.packet_rate import sender
from hostemu.measure.router_capacity import capacity, queue
from hostemu.measure.sharing import shares_bps
from hostemu.measure.terminals_per_guest import search
from hostemu.measure.throughput_iperf import Stream, parse_iperf3, parse_streams, total_bps
from hostemu.measure.throughput_tbench import parse as parse_tbench
from hostemu.measure.traffic import PacketRate

IPERF = """19700101000000,10.0.0.1,50074,10.0.0.2,5001,5,0.0-2.0,1000000,4000000
19700101000000,10.0.0.1,50036,10.0.0.2,5001,2,0.0-1.0,1000000,8000000
19700101000000,10.0.0.1,0,10.0.0.2,5001,-1,0.0-2.0,2000000,8000000
write failed: Connection reset by peer
"""


def test_iperfs_connections_are_added_over_the_time_of_the_longest() -> None:
    streams = parse_streams(IPERF)
    assert streams == [Stream(1_000_000, 4_000_000, "10.0.0.1"), Stream(1_000_000, 8_000_000, "10.0.0.1")]
    assert total_bps(streams) == 8_000_000  # 2 MB in the 2 s of the slower one


def test_no_connections_carry_nothing() -> None:
    assert parse_streams("") == []
    assert total_bps([]) == total_bps([Stream(0, 0, "10.0.0.1")]) == 0


def test_each_guest_has_the_traffic_of_its_own_address_whichever_end_is_told_first() -> None:
    other = "19700101000000,10.0.0.2,5001,10.0.0.3,50080,7,0.0-1.0,500000,4000000"
    streams = parse_streams(IPERF + other)
    assert shares_bps(streams, ["10.0.0.3", "10.0.0.1"]) == [4_000_000, 8_000_000]
    with pytest.raises(CommandFailed, match="sent nothing") as caught:
        shares_bps(streams, ["10.0.0.1", "10.0.0.9"])
    assert caught.value.found == "10.0.0.9"


def test_a_router_that_was_not_overloaded_could_do_at_least_what_it_did() -> None:
    assert capacity(offered=1000, forwarded=400, seconds=2.0) == {"router_frames_per_s": 200.0}
    assert capacity(offered=1000, forwarded=990, seconds=2.0) == {"router_frames_at_least_per_s": 495.0}
    with pytest.raises(RunError, match="forwards nothing"):
        capacity(offered=1000, forwarded=0, seconds=2.0)


def test_a_guest_that_was_not_busy_could_take_at_least_the_frames_that_it_took() -> None:
    assert rates(1000, 500_000, 2.0, 1.9) == {"stream_frames_per_s": 500, "stream_frame_bytes": 500}
    assert rates(1000, 500_000, 2.0, 1.0) == {"stream_frames_at_least_per_s": 500, "stream_frame_bytes": 500}


def test_faults_are_those_of_a_process_and_its_children_whatever_its_name() -> None:
    assert faults_in("77 (a) b) S 1 77 77 0 -1 4194560 300 4000 0 0 1 2 3 4 20 0 1 0 100") == 4300


def test_a_queue_is_known_only_where_something_was_lost() -> None:
    bursts = [(700, 510), (650, 500), (4000, 900)]
    assert queue(bursts, 4000) == {"router_burst_frames": 700, "router_queue_frames": 510}
    assert queue([(4000, 3), (4000, 7), (3990, 9)], 4000) == {"router_burst_frames": 4000}


@given(text=st.text(st.characters(codec="ascii")))
def test_any_text_of_iperf_is_read(text: str) -> None:
    assert total_bps(parse_streams(text)) >= 0


def test_iperf3_tells_what_was_received() -> None:
    text = '{"end": {"sum_sent": {"bits_per_second": 9e6}, "sum_received": {"bits_per_second": 8e6, "bytes": 1}}}'
    sample = parse_iperf3(text)
    assert sample.values == {"iperf3_bps": 8e6}
    assert sample.raw["sent_bps"] == 9e6


@pytest.mark.parametrize(
    "text", ["", "{}", '{"end": 3}', '{"end": {"sum_sent": {}}}', '{"error": "unable to connect"}']
)
def test_iperf3_without_a_result_is_an_error(text: str) -> None:
    with pytest.raises(CommandFailed, match="no result"):
        parse_iperf3(text)


def test_tbench_tells_decimal_megabytes() -> None:
    text = "   5  cleanup   2 sec\n\nThroughput 595.194 MB/sec  5 clients  5 procs  max_latency=3.572 ms\n"
    assert parse_tbench(text).values == {"tbench_bps": 595_194_000 * 8}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Throughput 0 MB/sec  5 clients  5 procs",
        "FAILED TO START 100 CLIENTS (started 60)\nThroughput 595.194 MB/sec  5 clients",
        "Child failed with status 1\n",
        "connect: Connection refused\n",
    ],
)
def test_tbench_without_a_result_is_an_error(text: str) -> None:
    with pytest.raises(CommandFailed, match="tbench gave no result"):
        parse_tbench(text)


def test_datagrams_count_whether_or_not_somebody_took_them() -> None:
    text = """Ip: Forwarding DefaultTTL
Ip: 2 64
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors
Udp: 100 20 3 7 3
UdpLite: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors
UdpLite: 5 5 5 5 5
"""
    assert arrived_datagrams(text) == 123


def test_sockets_are_told_by_state_and_port() -> None:
    text = """  sl  local_address rem_address   st tx_queue rx_queue
   0: 00000000:1B5B 00000000:0000 0A 00000000:00000000
   1: 0100007F:1389 0100007F:C350 01 00000000:00000000
"""
    assert ports_in_state(text, "0A") == {7003}
    assert ports_in_state(text, "01") == {5001}


def test_the_sender_offers_datagrams_in_both_programs() -> None:
    settings = PacketRate.model_validate(
        {"repeats": 1, "timeout": "30 s", "memory": "64 MiB", "payload": 18, "rate": 1000, "duration": "2 s"}
    )
    assert sender("iperf", "10.0.0.1", settings, 18)[-4:] == ["-b", "1000pps", "-t", "5"]
    assert sender("iperf3", "10.0.0.1", settings, 18)[-4:] == ["-b", "144000", "-t", "5"]


@given(data=st.binary())
def test_a_message_with_its_checksum_sums_to_nothing(data: bytes) -> None:
    padded = data + bytes(len(data) % 2)
    assert checksum(padded + struct.pack("!H", checksum(padded))) == 0


def test_an_echo_request_is_what_rfc_792_says() -> None:
    request = echo_request(0x1234, 1)
    assert request[:2] == b"\x08\x00"
    assert struct.unpack("!HH", request[4:]) == (0x1234, 1)
    assert checksum(request) == 0


@given(
    border=st.integers(0, 20_000),
    first=st.integers(1, 500),
    at_most=st.integers(1, 20_000),
    resolution=st.floats(0.01, 0.5),
)
def test_the_search_finds_the_border(border: int, first: int, at_most: int, resolution: float) -> None:
    tried: list[int] = []

    def runs(count: int) -> bool:
        tried.append(count)
        return count <= border

    found = search(runs, first, at_most, resolution)
    assert found <= min(border, at_most)
    assert max(tried) <= at_most
    if border >= at_most:
        assert found == at_most
    else:
        assert border - found <= max(1, resolution * (border + 1) / (1 - resolution))
    assert len(tried) < 40
