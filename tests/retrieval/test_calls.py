"""Terminals that call: farms of either kind, an ISP server and a center as real processes on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.deadline import Deadline
from hostemu.protocol.power import Phase, PowerSettings
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.retriever import RetryPolicy
from hostemu.protocol.wire import Call, Command, Hello, Refusal, Request, Start, encode
from hostemu.retrieval.config import Authentication, Home, WhenOff
from hostemu.retrieval.terminal import information_of
from tests.retrieval.harness import (
    ALWAYS_OFF,
    BLINKING,
    MS,
    Chain,
    S,
    chain,
    farm_config,
    free_port,
    isp_config,
    loopback_block,
    running,
)
from tests.retrieval.peer import Peer, calling
from tests.retrieval.test_isp_server import targets

WAKING = PowerSettings(on_ns=3600 * S, off_min_ns=MS, off_max_ns=300 * MS, redraw=False, phase=Phase.OFF)
"""Each wakes up once, within 0.3 s, and stays on."""

RETRY = RetryPolicy(interval_ns=50 * MS, max_attempts=1000, keeps_slot=True)


def home_at(port: int, **changes: Any) -> Home:
    """Where a farm's terminals call."""
    settings = {"connect_timeout_ns": S, "answer_timeout_ns": S, "interval_ns": 50 * MS, "max_attempts": 1000}
    return Home(address="127.0.0.1", port=port, list_size=1500, **{**settings, **changes})


@contextmanager
def calling_chain(
    folder: Path,
    count: int,
    terminals: str,
    *,
    farm: dict[str, Any],
    home: dict[str, Any] | None = None,
    isp: dict[str, Any] | None = None,
    center: dict[str, Any] | None = None,
) -> Iterator[Chain]:
    """A farm whose terminals call the one ISP server."""
    port = free_port()
    config = farm_config(loopback_block(), count, home=home_at(port, **(home or {})), **farm)
    server = isp_config(call_port=port, **{"retry": RETRY, **(isp or {})})
    with chain(folder, config, server, center=center, terminals=terminals) as run:
        yield run


@pytest.mark.parametrize("authentication", Authentication, ids=lambda scheme: str(scheme.value))
@pytest.mark.parametrize("when_off", WhenOff, ids=lambda kind: str(kind.value))
def test_every_blinking_terminal_calls_and_is_retrieved(
    terminals: str, tmp_path: Path, when_off: WhenOff, authentication: Authentication
) -> None:
    how = {"authentication": authentication}
    farm = {"power": BLINKING, "when_off": when_off, **how}
    with calling_chain(tmp_path, 200, terminals, farm=farm, isp=how) as run:
        run.start()
        done = run.center.wait_for("done")
        assert (done["retrieved"], done["failed"]) == (200, 0)
        farm_result, isp_result = run.farm.stop(), run.isps[0].stop()
        rows = run.outcomes()
        assert run.information(77) == information_of(77, 200)
    assert all(row.outcome is Outcome.RETRIEVED and row.attempts >= 1 and row.exchange_ns > 0 for row in rows)
    assert isp_result["attempts_by_reason"]["NONE"] >= isp_result["retrieved"] == 200
    assert farm_result["calls"] >= sum(farm_result["calls_by_reason"].values()) >= farm_result["calls"] - 200
    assert farm_result["calls_by_reason"]["NONE"] > 0
    assert farm_result["served"] >= 200


def test_calls_beyond_the_concurrency_wait_in_the_backlog(terminals: str, tmp_path: Path) -> None:
    with calling_chain(tmp_path, 100, terminals, farm={"power": WAKING}, isp={"concurrency": 1}) as run:
        run.start()
        assert run.center.wait_for("done")["retrieved"] == 100
        assert run.isps[0].stop()["attempts_by_reason"] == {"NONE": 100}


def test_a_terminal_that_is_refused_before_the_command_calls_again_while_it_is_on(
    terminals: str, tmp_path: Path
) -> None:
    with calling_chain(tmp_path, 20, terminals, farm={"power": WAKING}) as run:
        run.farm.start()
        Deadline.after(10, "refusals").wait_until(
            lambda: run.farm.report()["calls_by_reason"].get("REFUSED", 0) > 200
        )
        for program in (*run.isps, run.center):
            program.start()
        assert run.center.wait_for("done")["retrieved"] == 20
        assert min(row.attempts for row in run.outcomes()) > 1


def test_a_terminal_calls_no_more_once_it_has_its_receipt_or_has_tried_often_enough(
    terminals: str, tmp_path: Path
) -> None:
    port = free_port()
    config = farm_config(loopback_block(), 5, power=BLINKING, home=home_at(port, max_attempts=3, interval_ns=10 * MS))
    with running(terminals, config, tmp_path) as farm:
        farm.wait_for("ready")
        farm.start()
        deadline = Deadline.after(10, "three calls of everybody")
        deadline.wait_until(lambda: farm.report()["calls_by_reason"] == {"REFUSED": 15})
        Deadline.after(10, "more power").wait_until(lambda: farm.report()["power_switches"] > 60)
        assert farm.stop()["calls"] == 15


def test_terminals_that_never_wake_up_are_accounted_for_at_the_deadline(terminals: str, tmp_path: Path) -> None:
    center = {"deadline_ns": 300 * MS}
    with calling_chain(tmp_path, 10, terminals, farm={"power": ALWAYS_OFF}, center=center) as run:
        run.start()
        assert run.center.wait_for("done")["failed_by_reason"] == {"DEADLINE": 10}


def test_a_wrong_shared_key_is_refused_for_ever_and_says_nothing_of_the_terminal(
    terminals: str, tmp_path: Path
) -> None:
    farm = {"power": WAKING, "shared_secret": b"another"}
    with calling_chain(tmp_path, 5, terminals, farm=farm, center={"deadline_ns": 2 * S}) as run:
        run.start()
        assert run.center.wait_for("done")["failed_by_reason"] == {"DEADLINE": 5}
        assert run.farm.stop()["calls_by_reason"] == {"WRONG_KEY": 5}
        assert run.isps[0].report()["attempts_by_reason"] == {"WRONG_KEY": 5}


def test_no_descriptor_is_left_after_calls(terminals: str, tmp_path: Path) -> None:
    with calling_chain(tmp_path, 50, terminals, farm={"power": BLINKING}) as run:
        bases = [(program, program.open_files()) for program in (run.farm, run.isps[0])]
        run.start()
        assert run.center.wait_for("done")["retrieved"] == 50
        run.center.stop()
        deadline = Deadline.after(10, "all connections to be closed")
        for program, base in bases:
            deadline.wait_until(lambda program=program, base=base: program.open_files() == base)  # type: ignore[misc]


# The ISP server, called and commanded by hand.


def request_of(peer: Peer, device_id: int) -> Request:
    """Call as this device, and see what the ISP server wants."""
    peer.send(Call(device_id, 1))
    hello = peer.receive()
    assert isinstance(hello, Hello)
    return Request(b"")


@contextmanager
def commanded(folder: Path, count: int, **changes: Any) -> Iterator[tuple[Any, int, Peer]]:
    """(ISP server, its port for calls, center) with a list of so many terminals, none of which exists."""
    with running("isp_server", isp_config(call_port=0, **changes), folder) as isp:
        ready = isp.wait_for("ready")
        with pytest.raises(ConnectionRefusedError), calling("127.0.0.1", port=ready["call_port"]):
            pass
        with calling("127.0.0.1", port=ready["port"]) as center:
            center.send(Command(targets("127.0.0.1", count)))
            center.send(Start(count))
            yield isp, ready["call_port"], center


@contextmanager
def caller(port: int) -> Iterator[Peer]:
    """A connection to the port for calls, which may open only now."""
    deadline = Deadline.after(10, "the port to open")
    while True:
        try:
            with calling("127.0.0.1", port=port) as peer:
                yield peer
                return
        except ConnectionRefusedError:
            deadline.check()


def test_a_device_of_no_list_is_refused(tmp_path: Path) -> None:
    with commanded(tmp_path, 1) as (isp, port, _):
        with caller(port) as peer:
            peer.send(Call(99, 1))
            assert peer.receive() == Refusal(Reason.UNKNOWN_DEVICE)
        assert isp.stop()["attempts_by_reason"] == {"UNKNOWN_DEVICE": 1}


@pytest.mark.parametrize(("garbage", "reason"), [(encode(Start(1)), "UNEXPECTED"), (b"GET /", "OVERSIZED")])
def test_babble_is_refused_and_disturbs_nobody(tmp_path: Path, garbage: bytes, reason: str) -> None:
    with commanded(tmp_path, 1, concurrency=1) as (isp, port, _):
        with caller(port) as peer:
            peer.sock.sendall(garbage)
            assert peer.is_dropped() or reason == "UNEXPECTED"
        with caller(port) as peer:
            request_of(peer, 1)
        assert isp.report()["attempts_by_reason"][reason] == 1


def test_a_caller_that_says_nothing_loses_its_slot_after_the_time_out(tmp_path: Path) -> None:
    with commanded(tmp_path, 1, concurrency=1, answer_timeout_ns=200 * MS) as (isp, port, _):
        with caller(port) as silent, caller(port) as waiting:
            request_of(waiting, 1)
            assert silent.is_dropped()
        assert isp.report()["attempts_by_reason"]["TIMEOUT"] == 1


def test_a_stranger_who_calls_for_the_last_time_in_a_terminal_s_name_does_not_fail_it(tmp_path: Path) -> None:
    once = RetryPolicy(interval_ns=0, max_attempts=1, keeps_slot=True)
    with commanded(tmp_path, 1, retry=once) as (isp, port, _):
        with caller(port) as stranger:
            request_of(stranger, 1)
        Deadline.after(10, "a failure").wait_until(lambda: isp.report()["attempts_by_reason"] == {"RESET": 1})
        assert isp.report()["failed"] == 0
