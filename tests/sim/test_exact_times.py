"""Cases whose times can be worked out by hand, to the nanosecond.

The base scenario: center 10 ms and terminals 10 ms from the router, the ISP host next to it.  A frame that follows
another one at once arrives 1 ns after it (lines never deliver two frames at one moment).
"""

from __future__ import annotations

import pytest

from hostemu.measure.costs import Costs
from hostemu.protocol.reasons import Outcome, Reason
from hostemu.sim.tcp import TcpConnection
from tests.sim.builders import ends, play

MS = 1_000_000
S = 1_000 * MS

# The center's handshake takes one round trip (20 ms); right behind its last acknowledgement go Command and Start.
LIST_ARRIVES = 30 * MS + 2

# The first attempt's first frame leaves right behind the acknowledgement of the list.
BEHIND = 1

# Three round trips: SYN, Hello, Request.  Hello, Challenge and Request each follow an acknowledgement; the
# Information carries its own, since the terminal has answered before.
EXCHANGE = 60 * MS + 3

# Reset and report leave the ISP host in this order, and the center is 10 ms away.
REPORT = 10 * MS + 1

# The end of the list follows the last report.
DONE = 1


def test_one_terminal_takes_a_handshake_and_two_round_trips_more_than_the_command() -> None:
    world = play()
    assert world.center.finished_at_ns == LIST_ARRIVES + BEHIND + EXCHANGE + REPORT + DONE
    assert ends(world) == {1: (Outcome.RETRIEVED, Reason.NONE, 1)}


def test_the_exchange_is_timed_from_the_attempt_and_the_storing_from_the_command() -> None:
    account = play().center.accounts[1]
    assert account.report.exchange_ns == BEHIND + EXCHANGE
    assert account.at_ns == LIST_ARRIVES + BEHIND + EXCHANGE + REPORT - 20 * MS


def test_over_udp_there_is_no_handshake_and_there_are_no_acknowledgements() -> None:
    world = play({"retrieval.transport": "udp"})
    assert world.center.accounts[1].report.exchange_ns == BEHIND + 40 * MS
    assert world.center.finished_at_ns == LIST_ARRIVES + BEHIND + 40 * MS + 10 * MS + DONE


def test_the_isp_host_s_line_adds_its_delay_to_every_trip() -> None:
    world = play({"lines.isp.delay": "3 ms"})
    # 3 trips center – ISP host, 6 trips ISP host – terminal, 1 trip back to the center: 3 ms more each.
    assert world.center.finished_at_ns == LIST_ARRIVES + BEHIND + EXCHANGE + REPORT + DONE + 10 * 3 * MS


def test_terminals_beyond_the_concurrency_wait_for_a_slot() -> None:
    one, four = (play({"fleet.terminals": n, "retrieval.concurrency": 1}) for n in (1, 4))
    last_wave_ns = four.center.finished_at_ns - one.center.finished_at_ns
    assert 0 <= last_wave_ns - 3 * EXCHANGE <= 100


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_terminal_that_is_never_on_is_refused_max_attempts_times(transport: str) -> None:
    world = play(
        {"power.phase": "off", "power.off": {"min": "900 s", "max": "900 s"}, "retrieval.transport": transport}
    )
    assert ends(world) == {1: (Outcome.FAILED, Reason.REFUSED, 5)}
    # 5 round trips of 20 ms and 4 pauses of 2 s.
    assert world.center.finished_at_ns == LIST_ARRIVES + BEHIND + 5 * 20 * MS + 4 * 2 * S + 10 * MS + DONE


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_a_silent_terminal_costs_the_connect_timeout_each_time(transport: str) -> None:
    world = play(
        {
            "power.phase": "off",
            "power.off": {"min": "900 s", "max": "900 s"},
            "power.when_off": "silent",
            "retrieval.transport": transport,
        }
    )
    assert ends(world) == {1: (Outcome.FAILED, Reason.SILENT, 5)}
    assert world.center.finished_at_ns == LIST_ARRIVES + 5 * S + 4 * 2 * S + 10 * MS + DONE


def test_a_terminal_is_retrieved_by_the_first_attempt_after_it_has_come_on() -> None:
    world = play({"power.phase": "off", "power.off": {"min": "3 s", "max": "3 s"}})
    # Attempts begin 0, 2.02 and 4.04 s after the list has come; the third finds it on.
    assert ends(world) == {1: (Outcome.RETRIEVED, Reason.NONE, 3)}
    assert world.center.finished_at_ns == LIST_ARRIVES + BEHIND + 2 * 2020 * MS + EXCHANGE + REPORT + DONE


def test_an_off_time_in_the_middle_of_the_exchange_resets_it() -> None:
    # On until 60 ms: the connection and the Hello come in time (at 40 and 60 ms), the Request does not.
    world = play(
        {"power.on": "65 ms", "power.off": {"min": "500 s", "max": "500 s"}, "retrieval.retry.max_attempts": 1}
    )
    assert ends(world) == {1: (Outcome.FAILED, Reason.RESET, 1)}
    assert world.center.accounts[1].report.exchange_ns == 65 * MS + 10 * MS - LIST_ARRIVES


def test_a_silent_off_time_in_the_middle_of_the_exchange_ends_by_time_out() -> None:
    changes = {
        "power.on": "65 ms",
        "power.off": {"min": "500 s", "max": "500 s"},
        "power.when_off": "silent",
        "retrieval.retry.max_attempts": 1,
    }
    world = play(changes)
    assert ends(world) == {1: (Outcome.FAILED, Reason.TIMEOUT, 1)}
    # The connection stood a round trip after the attempt began; from then on it had 2 s.
    assert world.center.accounts[1].report.exchange_ns == 20 * MS + BEHIND + 2 * S


def test_a_rate_adds_the_serialisation_of_every_frame() -> None:
    slow, fast = (
        play({"lines.terminals": line}) for line in ({"delay": "10 ms", "rate": "1 Mbit"}, {"delay": "10 ms"})
    )
    # 8 µs per byte.  Towards the terminal: SYN 98 B; the acknowledgement 90 B and the Hello 120 B behind it;
    # acknowledgement 90 B and Request 112 B.  Back: SYN 98 B; 90 B and Challenge 130 B; Information 306 B.
    # Frames that follow each other wait for the line, instead of coming 1 ns apart (3 times).
    wire_bytes = 98 + 98 + (90 + 120) + (90 + 130) + (90 + 112) + 306
    added_ns = slow.center.finished_at_ns - fast.center.finished_at_ns
    assert added_ns == wire_bytes * 8_000 - 3


def test_the_deadline_accounts_for_everybody_who_is_left() -> None:
    world = play({"fleet.terminals": 5, "power.phase": "off", "power.off": {"min": "900 s", "max": "900 s"},
                  "retrieval.deadline": "3 s"})  # fmt: skip
    assert world.center.finished_at_ns == 3 * S
    assert set(ends(world).values()) == {(Outcome.FAILED, Reason.DEADLINE, 0)}


@pytest.mark.parametrize(("deadline_s", "end_s", "reason"), [(5, 5, Reason.DEADLINE), (20, 10, Reason.PROGRAM_LOST)])
def test_a_center_that_reaches_nobody_gives_up_after_10_s_or_at_the_deadline(
    deadline_s: int, end_s: int, reason: Reason
) -> None:
    world = play(
        {"fleet.terminals": 3, "lines.center": {"loss": 1.0}, "retrieval.deadline": f"{deadline_s} s"},
    )
    assert world.center.finished_at_ns == end_s * S
    assert set(ends(world).values()) == {(Outcome.FAILED, reason, 0)}


def test_a_list_that_takes_longer_than_10_s_to_arrive_is_refused() -> None:
    world = play({"fleet.terminals": 100, "lines.center": {"rate": "1 kbit"}})
    assert set(ends(world).values()) == {(Outcome.FAILED, Reason.TIMEOUT, 0)}
    assert world.isp.programs[0].refusals == {Reason.TIMEOUT: 1}


def test_cpu_costs_lie_on_the_critical_path_of_a_single_exchange() -> None:
    costs = Costs(isp_refused_ns=80_000, isp_exchange_ns=400_000, terminal_exchange_ns=300_000, cores=4)
    free, busy = play(), play(costs=costs)
    # Frames no longer follow an acknowledgement at once (3 times), nor does the report: the begin and three steps
    # come before; the terminal answers twice.
    added_ns = busy.center.finished_at_ns - free.center.finished_at_ns
    assert added_ns == 40_000 + 3 * 120_000 + 2 * 150_000 - 4


def test_refused_attempts_cost_what_was_measured() -> None:
    changes = {"power.phase": "off", "power.off": {"min": "900 s", "max": "900 s"}}
    world = play(changes, Costs(isp_refused_ns=80_001, center_report_ns=7_000, cores=1))
    assert world.threads["isp-0"].busy_ns == 5 * 80_001
    assert world.threads["center"].busy_ns == 7_000
    assert world.threads["farm-0"].busy_ns == 0


def test_a_terminal_resets_after_10_s_a_connection_whose_end_it_has_not_heard_of() -> None:
    world = play({"lines.terminals.delay": "100 ms"})
    kernel = world.farms[0].kernel
    (connection,) = kernel.sockets.values()  # its reset is still on the way when the center has everything
    assert isinstance(connection, TcpConnection)
    connection.is_deaf = True
    stood_at_ns = LIST_ARRIVES + BEHIND + 300 * MS
    world.clock.env.run(stood_at_ns + 10 * S)
    assert list(kernel.sockets.values()) == [connection]
    world.clock.env.run(stood_at_ns + 10 * S + 1)
    assert not kernel.sockets


def test_an_exchange_takes_the_frames_that_linux_sends() -> None:
    """6 and 4: measured with the programs' pattern of sends over a veth pair (Linux 6.18)."""
    one, two = (play({"fleet.terminals": number, "lines.center.delay": "500 ms"}) for number in (1, 2))
    sent, received = (
        getattr(two.farms[0].kernel.host, counter) - getattr(one.farms[0].kernel.host, counter)
        for counter in ("rx_frames", "tx_frames")
    )
    assert (sent, received) == (6, 4)
