"""The center program when things go wrong: ISP servers that are missing, and stores that fail."""

from __future__ import annotations

import resource
import socket
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.wire import Command, Done, FrameReader, Message, Refusal, Report, Start, encode
from hostemu.retrieval.config import IspAssignment
from hostemu.retrieval.store import read_outcomes
from tests.retrieval.harness import (
    MS,
    PORT,
    RUN_ID,
    Program,
    S,
    center_config,
    database_url,
    farm_config,
    free_port,
    isp_config,
    loopback_block,
    running,
    span,
)

TERMINALS = 20


class FakeIsp:
    """An ISP server that a test plays."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(10)

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])

    def accept(self) -> tuple[socket.socket, list[Message]]:
        """The center's connection, once its whole list has come."""
        sock, _ = self.listener.accept()
        sock.settimeout(10)
        reader, messages = FrameReader(), list[Message]()
        while not (messages and isinstance(messages[-1], Start)):
            messages += reader.feed(sock.recv(1 << 16))
        return sock, messages


def report(device_id: int, **changes: int) -> Report:
    numbers = {"attempts": 1, "exchange_ns": 5, **changes}
    return Report(device_id, Outcome.FAILED, Reason.SILENT, isp_nonce=b"", sealed=b"", **numbers)


def assignment(port: int, terminals: int = TERMINALS) -> IspAssignment:
    return IspAssignment("127.0.0.1", port, (span(loopback_block(), terminals),))


def reasons(folder: Path) -> set[Reason]:
    """Reasons of all terminals, each of which must have its row."""
    rows = read_outcomes(database_url(folder), RUN_ID)
    assert [row.device_id for row in rows] == list(range(1, TERMINALS + 1))
    return {row.reason for row in rows}


def test_an_isp_server_that_starts_late_is_called_until_it_answers(tmp_path: Path) -> None:
    address, port = loopback_block(), free_port()
    isps = IspAssignment("127.0.0.1", port, (span(address, TERMINALS),))
    with (
        running("terminals", farm_config(address, TERMINALS), tmp_path) as farm,
        running("center", center_config(tmp_path, isps), tmp_path) as center,
    ):
        farm.wait_for("ready")
        center.wait_for("ready")
        center.start()
        center.wait_for("progress")
        with running("isp_server", isp_config(port=port), tmp_path):
            assert center.wait_for("done")["retrieved"] == TERMINALS


def test_an_isp_server_that_never_answers_loses_its_list(tmp_path: Path) -> None:
    config = center_config(tmp_path, assignment(free_port()), connect_deadline_ns=200 * MS)
    with running("center", config, tmp_path) as center:
        center.wait_for("ready")
        center.start()
        assert center.wait_for("done")["failed_by_reason"] == {"PROGRAM_LOST": TERMINALS}
        assert reasons(tmp_path) == {Reason.PROGRAM_LOST}


ANSWERS = {
    "nothing": (b"", Reason.PROGRAM_LOST),
    "half a report": (encode(report(1))[:9], Reason.PROGRAM_LOST),
    "done too early": (encode(Done(0)), Reason.PROGRAM_LOST),
    "garbage": (b"\x00\x04abcd", Reason.MALFORMED),
    "a refusal": (encode(Refusal(Reason.OVERSIZED)), Reason.OVERSIZED),
    "a report of a stranger": (encode(report(999)), Reason.UNEXPECTED),
    "a message of the center's": (encode(Start(1)), Reason.UNEXPECTED),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_isp_server_that_answers_wrongly_loses_its_list(tmp_path: Path, answer: str) -> None:
    data, reason = ANSWERS[answer]
    isp = FakeIsp()
    with isp.listener, running("center", center_config(tmp_path, assignment(isp.port)), tmp_path) as center:
        center.wait_for("ready")
        center.start()
        sock, messages = isp.accept()
        with sock:
            sock.sendall(data)
        assert isinstance(messages[0], Command)
        assert messages[-1] == Start(TERMINALS)
        assert center.wait_for("done")["failed_by_reason"] == {reason.name: TERMINALS}
        assert reasons(tmp_path) == {reason}


def test_what_was_reported_before_the_connection_broke_stays(tmp_path: Path) -> None:
    isp = FakeIsp()
    config = center_config(tmp_path, assignment(isp.port))
    with isp.listener, running("center", config, tmp_path) as center:
        center.wait_for("ready")
        center.start()
        sock, _ = isp.accept()
        with sock:
            sock.sendall(encode(report(1, exchange_ns=2**64 - 1)) + encode(report(2, attempts=2**32 - 1)))
        assert center.wait_for("done")["failed_by_reason"] == {"SILENT": 2, "PROGRAM_LOST": TERMINALS - 2}
    rows = read_outcomes(database_url(tmp_path), RUN_ID)
    assert (rows[0].exchange_ns, rows[1].attempts) == (2**63 - 1, 2**32 - 1)


def started_with_reports(center: Program, isp: FakeIsp, count: int) -> socket.socket:
    """The connection of a center that has been given `count` reports and awaits more."""
    center.wait_for("ready")
    center.start()
    sock, _ = isp.accept()
    sock.sendall(b"".join(encode(report(1 + at)) for at in range(count)))
    return sock


def test_a_killed_center_has_committed_what_it_was_told(tmp_path: Path) -> None:
    isp = FakeIsp()
    with isp.listener, running("center", center_config(tmp_path, assignment(isp.port)), tmp_path) as center:
        with started_with_reports(center, isp, 5):
            deadline = Deadline.after(10, "a commit")
            deadline.wait_until(lambda: len(read_outcomes(database_url(tmp_path), RUN_ID)) == 5)
            center.kill()
        rows = read_outcomes(database_url(tmp_path), RUN_ID)
    assert [row.device_id for row in rows] == [1, 2, 3, 4, 5]
    with closing(sqlite3.connect(tmp_path / "store.sqlite")) as database:
        run = database.execute("select terminals, finished, makespan_ns from runs").fetchall()
    assert run == [(TERMINALS, 0, None)]


def test_a_center_that_is_stopped_early_accounts_for_every_terminal(tmp_path: Path) -> None:
    isp = FakeIsp()
    with isp.listener, running("center", center_config(tmp_path, assignment(isp.port)), tmp_path) as center:
        with started_with_reports(center, isp, 5):
            Deadline.after(10, "the reports").wait_until(lambda: center.report()["failed"] == 5)
            result = center.stop()
        assert result["failed_by_reason"] == {"SILENT": 5, "DEADLINE": TERMINALS - 5}
        assert result["is_stored"]
        assert reasons(tmp_path) == {Reason.SILENT, Reason.DEADLINE}


def test_a_run_that_the_store_has_already_is_refused(tmp_path: Path) -> None:
    config = center_config(tmp_path, assignment(free_port()))
    with running("center", config, tmp_path) as first:
        first.wait_for("ready")
    with running("center", config, tmp_path) as second:
        assert RUN_ID in second.wait_for("error")["message"]
        assert second.wait() == 2
        assert "new to the store" in second.error_text()


def test_a_full_disk_ends_the_center_with_a_clear_error(tmp_path: Path) -> None:
    """The limit of the file size stands for the disk: what is written beyond it fails in the same place."""
    isp = FakeIsp()
    with isp.listener, running("center", center_config(tmp_path, assignment(isp.port)), tmp_path) as center:
        center.wait_for("ready")
        written = (tmp_path / "store.sqlite-wal").stat().st_size
        resource.prlimit(center.pid, resource.RLIMIT_FSIZE, (written, written))
        with started_with_reports_after_ready(center, isp):
            error = center.wait_for("error")
            assert center.wait() == 1
    assert "store.sqlite" in error["message"]
    assert "disk full" in center_hint(error["message"])


def test_a_locked_store_ends_the_center_with_a_clear_error(tmp_path: Path) -> None:
    isp = FakeIsp()
    with isp.listener, running("center", center_config(tmp_path, assignment(isp.port)), tmp_path) as center:
        center.wait_for("ready")
        with closing(sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)) as other:
            other.execute("begin immediate")
            with started_with_reports_after_ready(center, isp):
                error = center.wait_for("error")
                assert center.wait() == 1
    assert "locked" in error["message"]


def started_with_reports_after_ready(center: Program, isp: FakeIsp) -> socket.socket:
    center.start()
    sock, _ = isp.accept()
    sock.sendall(encode(report(1)))
    return sock


def center_hint(message: str) -> str:
    return message.split("to do:")[1]


def test_the_deadline_also_ends_a_center_that_nobody_reports_to(tmp_path: Path) -> None:
    isp = FakeIsp()
    config = center_config(tmp_path, assignment(isp.port), deadline_ns=S // 4)
    with isp.listener, running("center", config, tmp_path) as center:
        center.wait_for("ready")
        center.start(time.monotonic_ns())
        sock, _ = isp.accept()
        with sock:
            assert center.wait_for("done")["failed_by_reason"] == {"DEADLINE": TERMINALS}


def test_terminals_are_listed_with_their_addresses(tmp_path: Path) -> None:
    isp = FakeIsp()
    first = "127.99.0.250"
    lists = IspAssignment("127.0.0.1", isp.port, (span(first, 10), span("::1", 1, 10)))
    with isp.listener, running("center", center_config(tmp_path, lists), tmp_path) as center:
        center.wait_for("ready")
        center.start()
        sock, messages = isp.accept()
        sock.close()
    targets = [target for message in messages if isinstance(message, Command) for target in message.targets]
    assert [(target.device_id, target.port) for target in targets] == [(1 + at, PORT) for at in range(11)]
    assert socket.inet_ntoa(targets[9].address) == "127.99.1.3"
    assert socket.inet_ntop(socket.AF_INET6, targets[10].address) == "::b"
