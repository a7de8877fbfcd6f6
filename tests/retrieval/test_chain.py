"""Center, ISP servers and a farm as real processes on loopback."""

from __future__ import annotations

import resource
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.protocol.retriever import RetryPolicy
from hostemu.retrieval.config import (
    Authentication,
    IspAssignment,
    TerminalRange,
    Transport,
    WhenOff,
)
from hostemu.retrieval.store import read_outcomes
from hostemu.retrieval.terminal import information_of
from tests.retrieval.harness import (
    ALWAYS_OFF,
    ALWAYS_ON,
    BLINKING,
    MS,
    PORT,
    RUN_ID,
    Chain,
    center_config,
    chain,
    database_url,
    farm_config,
    free_port,
    isp_config,
    loopback_block,
    running,
    span,
)

TERMINALS = 200
ONCE = RetryPolicy(interval_ns=0, max_attempts=1, keeps_slot=True)


def outcomes_of(run: Chain) -> Counter[tuple[Outcome, Reason]]:
    """How many terminals ended how; each device of the plan must have its one row."""
    rows = run.outcomes()
    assert [row.device_id for row in rows] == list(range(1, len(rows) + 1))
    return Counter((row.outcome, row.reason) for row in rows)


@pytest.mark.parametrize("authentication", Authentication, ids=lambda scheme: str(scheme.value))
@pytest.mark.parametrize("transport", Transport, ids=lambda transport: str(transport.value))
def test_every_blinking_terminal_is_retrieved(
    terminals: str, tmp_path: Path, transport: Transport, authentication: Authentication
) -> None:
    how = {"transport": transport, "authentication": authentication}
    farm = farm_config(loopback_block(), TERMINALS, power=BLINKING, **how)
    with chain(tmp_path, farm, isp_config(**how), lists=2, terminals=terminals) as run:
        run.start()
        done = run.center.wait_for("done")
        assert (done["retrieved"], done["failed"], done["failed_by_reason"]) == (TERMINALS, 0, {})
        farm_result, *isp_results = run.farm.stop(), *(isp.stop() for isp in run.isps)
        center_result = run.center.stop()

    rows = read_outcomes(database_url(tmp_path), RUN_ID)
    assert [row.device_id for row in rows] == list(range(1, TERMINALS + 1))
    assert {row.outcome for row in rows} == {Outcome.RETRIEVED}
    assert all(0 < row.retrieved_at_ns <= done["makespan_ns"] and row.exchange_ns > 0 for row in rows)
    for device_id in (1, TERMINALS // 2, TERMINALS):
        assert run.information(device_id) == information_of(device_id, 200)

    attempts = sum(result["attempts"] for result in isp_results)
    assert attempts == sum(row.attempts for row in rows) > TERMINALS
    by_reason = [result["attempts_by_reason"] for result in isp_results]
    assert sum(reasons["NONE"] for reasons in by_reason) == TERMINALS
    assert sum(reasons["REFUSED"] for reasons in by_reason) > 0
    assert sum(sum(reasons.values()) for reasons in by_reason) == attempts
    assert farm_result["served"] >= TERMINALS
    assert farm_result["power_switches"] > 0
    assert center_result["is_stored"]
    assert center_result["makespan_ns"] == done["makespan_ns"]


@pytest.mark.parametrize("keeps_slot", [True, False])
def test_silent_terminals_are_retrieved_when_they_wake(terminals: str, tmp_path: Path, keeps_slot: bool) -> None:
    farm = farm_config(loopback_block(), 40, power=BLINKING, when_off=WhenOff.SILENT)
    retry = RetryPolicy(interval_ns=50 * MS, max_attempts=60, keeps_slot=keeps_slot)
    isp = isp_config(connect_timeout_ns=100 * MS, concurrency=10, retry=retry)
    with chain(tmp_path, farm, isp, terminals=terminals) as run:
        run.start()
        assert run.center.wait_for("done")["retrieved"] == 40
        reasons = run.isps[0].stop()["attempts_by_reason"]
    assert reasons["SILENT"] > 0
    assert reasons["NONE"] == 40
    assert set(reasons) <= {"NONE", "SILENT", "TIMEOUT", "RESET"}


@pytest.mark.parametrize("transport", Transport, ids=lambda transport: str(transport.value))
@pytest.mark.parametrize(("when_off", "reason"), [(WhenOff.REFUSE, Reason.REFUSED), (WhenOff.SILENT, Reason.SILENT)])
def test_terminals_that_are_never_on_fail_with_the_reason(
    terminals: str, tmp_path: Path, when_off: WhenOff, reason: Reason, transport: Transport
) -> None:
    farm = farm_config(loopback_block(), 10, power=ALWAYS_OFF, when_off=when_off, transport=transport)
    retry = RetryPolicy(interval_ns=10 * MS, max_attempts=3, keeps_slot=True)
    isp = isp_config(retry=retry, connect_timeout_ns=50 * MS, transport=transport)
    with chain(tmp_path, farm, isp, terminals=terminals) as run:
        run.start()
        assert run.center.wait_for("done")["failed_by_reason"] == {reason.name: 10}
        assert outcomes_of(run) == {(Outcome.FAILED, reason): 10}
        assert {row.attempts for row in run.outcomes()} == {3}
        assert {row.retrieved_at_ns for row in run.outcomes()} == {-1}


def test_a_wrong_shared_key_fails_at_the_first_attempt(terminals: str, tmp_path: Path) -> None:
    isp = isp_config(shared_secret=b"another")
    with chain(tmp_path, farm_config(loopback_block(), 5), isp, terminals=terminals) as run:
        run.start()
        run.center.wait_for("done")
        assert outcomes_of(run) == {(Outcome.FAILED, Reason.WRONG_KEY): 5}
        assert run.isps[0].stop()["attempts"] == 5
        assert run.farm.stop()["refusals"] == {"WRONG_KEY": 5}


def test_information_sealed_with_a_wrong_own_key_is_not_stored(terminals: str, tmp_path: Path) -> None:
    with chain(
        tmp_path, farm_config(loopback_block(), 5, own_secret=b"another"), isp_config(), terminals=terminals
    ) as run:
        run.start()
        run.center.wait_for("done")
        assert outcomes_of(run) == {(Outcome.FAILED, Reason.BAD_SEAL): 5}
        assert run.information(1) == b""


def test_a_terminal_on_the_ipv6_loopback_is_retrieved(terminals: str, tmp_path: Path) -> None:
    with chain(
        tmp_path,
        farm_config("::1", 1, port=free_port("::1")),
        isp_config(source_addresses=("::1",)),
        terminals=terminals,
    ) as run:
        run.start()
        assert run.center.wait_for("done")["retrieved"] == 1


def test_a_killed_isp_server_loses_its_list_only(tmp_path: Path) -> None:
    """The first program's terminals are on; the other's are never, so that it is killed while it retrieves."""
    on, off = loopback_block(), loopback_block()
    assert on != off
    with (
        running("terminals", farm_config(on, 20), tmp_path) as farm,
        running("isp_server", isp_config(), tmp_path) as survivor,
        running("isp_server", isp_config(), tmp_path) as victim,
    ):
        farm.wait_for("ready")
        lists = (
            IspAssignment("127.0.0.1", survivor.wait_for("ready")["port"], (span(on, 20),)),
            IspAssignment("127.0.0.1", victim.wait_for("ready")["port"], (TerminalRange(21, off, PORT, 20),)),
        )
        with running("center", center_config(tmp_path, *lists), tmp_path) as center:
            center.wait_for("ready")
            center.start()
            Deadline.after(10, "attempts").wait_until(lambda: victim.report()["attempts"] > 20)
            victim.kill()
            assert center.wait_for("done")["failed_by_reason"] == {"PROGRAM_LOST": 20}
    rows = read_outcomes(database_url(tmp_path), RUN_ID)
    assert [row.outcome for row in rows] == [Outcome.RETRIEVED] * 20 + [Outcome.FAILED] * 20
    assert {row.reason for row in rows[20:]} == {Reason.PROGRAM_LOST}


def test_terminals_of_a_killed_farm_fail_and_are_accounted_for(terminals: str, tmp_path: Path) -> None:
    retry = RetryPolicy(interval_ns=20 * MS, max_attempts=20, keeps_slot=True)
    farm = farm_config(loopback_block(), 50, power=BLINKING)
    with chain(tmp_path, farm, isp_config(retry=retry, concurrency=5), terminals=terminals) as run:
        run.start()
        Deadline.after(10, "a first terminal").wait_until(lambda: run.isps[0].report()["retrieved"] > 0)
        run.farm.kill()
        done = run.center.wait_for("done")
        assert done["retrieved"] > 0
        assert done["retrieved"] + done["failed"] == 50
        assert set(done["failed_by_reason"]) == {"REFUSED"}
        assert outcomes_of(run) == {
            (Outcome.RETRIEVED, Reason.NONE): done["retrieved"],
            (Outcome.FAILED, Reason.REFUSED): done["failed"],
        }


def test_what_is_pending_at_the_deadline_fails_with_it(tmp_path: Path) -> None:
    farm = farm_config(loopback_block(), 10, power=ALWAYS_OFF)
    retry = RetryPolicy(interval_ns=50 * MS, max_attempts=10**6, keeps_slot=True)
    with chain(tmp_path, farm, isp_config(retry=retry), center={"deadline_ns": 300 * MS}) as run:
        run.start()
        done = run.center.wait_for("done")
        assert done["failed_by_reason"] == {"DEADLINE": 10}
        assert done["makespan_ns"] >= 300 * MS
        assert outcomes_of(run) == {(Outcome.FAILED, Reason.DEADLINE): 10}
        deadline = Deadline.after(10, "the ISP server to notice that the center has gone")
        deadline.wait_until(lambda: run.isps[0].report()["refusals"] == {"RESET": 1})


def test_progress_is_told_until_the_end(tmp_path: Path) -> None:
    with chain(tmp_path, farm_config(loopback_block(), 50, power=BLINKING), isp_config()) as run:
        run.start()
        done = run.center.wait_for("done")
        told = [event for event in run.center.events if event["event"] == "progress"]
    assert all(event["total"] == 50 for event in told)
    assert [event["retrieved"] for event in told] == sorted(event["retrieved"] for event in told)
    assert (told[-1]["retrieved"], told[-1]["t_ns"]) == (50, done["makespan_ns"])
    gaps = [later["t_ns"] - earlier["t_ns"] for earlier, later in pairwise(told[:-1])]
    assert all(gap >= 200 * MS for gap in gaps)


def test_no_descriptor_is_left_after_a_run(terminals: str, tmp_path: Path) -> None:
    with chain(
        tmp_path, farm_config(loopback_block(), 100, power=BLINKING), isp_config(), terminals=terminals
    ) as run:
        farm, isp = run.farm, run.isps[0]
        # Beside its terminals that are on, which have a listening socket each.
        farm_base = farm.open_files() - farm.report()["terminals_on"]
        isp_base = isp.open_files()
        run.start()
        run.center.wait_for("done")
        run.center.stop()
        deadline = Deadline.after(10, "all connections to be closed")
        deadline.wait_until(lambda: isp.open_files() == isp_base)
        deadline.wait_until(lambda: farm.open_files() - farm.report()["terminals_on"] == farm_base)
        assert isp.report()["retrieved"] == 100


def time_wait_count(block: str) -> int:
    """Connections in TIME_WAIT with an address of the block of 254 that begins at `block`."""
    octets = block.split(".")[:3]
    suffix = "".join(f"{int(octet):02X}" for octet in reversed(octets))
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    ends = [line.split()[1:4] for line in lines]
    return sum(state == "06" and suffix in (local[2:8], remote[2:8]) for local, remote, state in ends)


def test_no_connection_is_left_in_time_wait(terminals: str, tmp_path: Path) -> None:
    address = loopback_block()
    with chain(tmp_path, farm_config(address, TERMINALS, power=BLINKING), isp_config(), terminals=terminals) as run:
        run.start()
        assert run.center.wait_for("done")["retrieved"] == TERMINALS
        assert time_wait_count(address) == 0


def test_an_isp_server_that_runs_out_of_descriptors_tries_again_later(tmp_path: Path) -> None:
    with chain(tmp_path, farm_config(loopback_block(), 50, power=ALWAYS_ON), isp_config()) as run:
        isp = run.isps[0]
        limit = isp.open_files() + 5  # the center's connection and four attempts
        resource.prlimit(isp.pid, resource.RLIMIT_NOFILE, (limit, limit))
        run.start()
        assert run.center.wait_for("done")["retrieved"] == 50
        assert isp.stop()["attempts_by_reason"]["LOCAL"] > 0
