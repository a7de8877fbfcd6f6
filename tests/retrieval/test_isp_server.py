"""The ISP server program, commanded by hand."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.retriever import RetryPolicy
from hostemu.protocol.wire import Command, Done, Refusal, Report, Start, Target, encode
from hostemu.retrieval.isp_server import MAX_BACKLOG_BYTES
from tests.retrieval.harness import MS, PORT, farm_config, isp_config, loopback_block, running
from tests.retrieval.peer import calling

ENDLESS = RetryPolicy(interval_ns=20 * MS, max_attempts=10**6, keeps_slot=True)
ONCE = RetryPolicy(interval_ns=0, max_attempts=1, keeps_slot=True)


def targets(address: str, count: int) -> tuple[Target, ...]:
    first = int.from_bytes(socket.inet_aton(address), "big")
    return tuple(Target(1 + at, (first + at).to_bytes(4, "big"), PORT) for at in range(count))


def test_a_list_is_reported_terminal_by_terminal_and_then_done(tmp_path: Path) -> None:
    address = loopback_block()
    with (
        running("terminals", farm_config(address, 3), tmp_path) as farm,
        running("isp_server", isp_config(retry=ONCE), tmp_path) as isp,
    ):
        farm.wait_for("ready")
        with calling("127.0.0.1", port=isp.wait_for("ready")["port"]) as center:
            center.send(Command(targets(address, 3)))
            center.send(Command((Target(9, socket.inet_aton(loopback_block()), PORT),)))
            center.send(Start(4))
            reports = [center.receive() for _ in range(4)]
            assert center.receive() == Done(4)
    by_device = {report.device_id: report for report in reports if isinstance(report, Report)}
    assert sorted(by_device) == [1, 2, 3, 9]
    assert {by_device[device].outcome for device in (1, 2, 3)} == {Outcome.RETRIEVED}
    assert (by_device[9].outcome, by_device[9].reason) == (Outcome.FAILED, Reason.REFUSED)
    assert all(report.attempts == 1 and report.exchange_ns > 0 for report in by_device.values())


def test_a_list_longer_than_allowed_is_refused_and_a_shorter_one_taken_afterwards(tmp_path: Path) -> None:
    address = loopback_block()
    with running("isp_server", isp_config(list_size=2, retry=ONCE), tmp_path) as isp:
        port = isp.wait_for("ready")["port"]
        with calling("127.0.0.1", port=port) as center:
            center.send(Command(targets(address, 3)))
            assert center.receive() == Refusal(Reason.OVERSIZED)
            assert center.is_dropped()
        with calling("127.0.0.1", port=port) as center:
            center.send(Command(targets(address, 2)))
            center.send(Start(2))
            assert [type(center.receive()) for _ in range(3)] == [Report, Report, Done]
        assert isp.stop()["refusals"] == {"OVERSIZED": 1}


def test_a_start_that_does_not_fit_the_list_is_refused(tmp_path: Path) -> None:
    with running("isp_server", isp_config(), tmp_path) as isp:
        with calling("127.0.0.1", port=isp.wait_for("ready")["port"]) as center:
            center.send(Command(targets(loopback_block(), 2)))
            center.send(Start(3))
            assert center.receive() == Refusal(Reason.MALFORMED)
        assert isp.stop()["attempts"] == 0


def test_a_second_center_is_turned_away_while_the_first_is_served(tmp_path: Path) -> None:
    with running("isp_server", isp_config(retry=ENDLESS), tmp_path) as isp:
        port = isp.wait_for("ready")["port"]
        with calling("127.0.0.1", port=port) as first:
            first.send(Command(targets(loopback_block(), 2)))
            first.send(Start(2))
            Deadline.after(10, "attempts").wait_until(lambda: isp.report()["attempts"] > 0)
            with calling("127.0.0.1", port=port) as second:
                assert second.receive() == Refusal(Reason.UNEXPECTED)
            before = isp.report()["attempts"]
            Deadline.after(10, "the first list to go on").wait_until(lambda: isp.report()["attempts"] > before)


def test_garbage_in_the_place_of_a_center_is_refused_and_the_next_center_served(tmp_path: Path) -> None:
    with running("isp_server", isp_config(retry=ONCE), tmp_path) as isp:
        port = isp.wait_for("ready")["port"]
        with calling("127.0.0.1", port=port) as stranger:
            stranger.sock.sendall(b"\x00\x10GET / HTTP/1.1\r\n\r\n")
            assert stranger.receive() == Refusal(Reason.MALFORMED)
        with calling("127.0.0.1", port=port) as center:
            center.send(Command(targets(loopback_block(), 1)))
            center.send(Start(1))
            assert isinstance(center.receive(), Report)


def test_attempts_end_when_the_center_leaves(tmp_path: Path) -> None:
    with running("isp_server", isp_config(retry=ENDLESS), tmp_path) as isp:
        port = isp.wait_for("ready")["port"]
        base = isp.open_files()
        with calling("127.0.0.1", port=port) as center:
            center.send(Command(targets(loopback_block(), 50)))
            center.send(Start(50))
            Deadline.after(10, "attempts").wait_until(lambda: isp.report()["attempts"] > 100)
        deadline = Deadline.after(10, "the list to be given up")
        deadline.wait_until(lambda: isp.report()["refusals"] == {"RESET": 1})
        assert isp.open_files() == base


def is_held(counters: dict[str, Any]) -> bool:
    """Whether reports are waiting, and no attempt is under way."""
    ended = sum(counters["attempts_by_reason"].values())
    return bool(counters["backlog_bytes"] > MAX_BACKLOG_BYTES and counters["attempts"] == ended)


def test_a_center_that_reads_late_holds_attempts_up_and_gets_every_report(tmp_path: Path) -> None:
    """Reports of 3.6 MB altogether, of which the ISP server keeps 1 MB, and the sockets some 100 kB."""
    address, count = loopback_block(), 240
    with (
        running("terminals", farm_config(address, count, information_bytes=15_000), tmp_path) as farm,
        running("isp_server", isp_config(), tmp_path) as isp,
    ):
        farm.wait_for("ready")
        port = isp.wait_for("ready")["port"]
        with calling("127.0.0.1", port=port, buffer_bytes=1 << 17) as center:
            center.sock.sendall(b"".join(map(encode, (Command(targets(address, count)), Start(count)))))
            Deadline.after(10, "a full buffer").wait_until(lambda: is_held(isp.report()))
            assert isp.report()["retrieved"] < count
            reports = [center.receive() for _ in range(count)]
            assert center.receive() == Done(count)
    devices = sorted(report.device_id for report in reports if isinstance(report, Report))
    assert devices == list(range(1, count + 1))


def test_attempts_come_from_the_source_addresses_in_turn(tmp_path: Path) -> None:
    sources = (loopback_block(), loopback_block())
    address = loopback_block()
    with (
        socket.create_server((address, PORT)) as terminal,
        running("isp_server", isp_config(source_addresses=sources, retry=ONCE), tmp_path) as isp,
        calling("127.0.0.1", port=isp.wait_for("ready")["port"]) as center,
    ):
        terminal.settimeout(10)
        center.send(Command(tuple(Target(1 + at, socket.inet_aton(address), PORT) for at in range(4))))
        center.send(Start(4))
        callers = []
        for _ in range(4):
            sock, (caller, _) = terminal.accept()
            sock.close()
            callers.append(caller)
    assert sorted(callers) == sorted(sources * 2)


def test_an_empty_list_is_done_at_once(tmp_path: Path) -> None:
    with running("isp_server", isp_config(), tmp_path) as isp:
        with calling("127.0.0.1", port=isp.wait_for("ready")["port"]) as center:
            center.send(Command(()))
            center.send(Start(0))
            assert center.receive() == Done(0)
        assert isp.stop()["attempts"] == 0
