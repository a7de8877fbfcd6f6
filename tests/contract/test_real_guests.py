"""What every kind of guest that really runs has in common: namespaces and guests with kernels of their own alike."""

from __future__ import annotations

import pytest

from tests.contract.conftest import IN_THIS_PROCESS, KINDS, Kind, Play, Seen
from tests.contract.real import COMMANDS, ECHOES, STEADY_S


@pytest.fixture(scope="module", params=[name for name, kind in KINDS.items() if kind.backend not in IN_THIS_PROCESS])
def kind(request: pytest.FixtureRequest) -> Kind:
    """A kind of guest that runs."""
    return KINDS[request.param]


@pytest.fixture(scope="module")
def seen(play: Play) -> Seen:
    """What was seen in the checks that share a guest."""
    return Seen(play("shared", "real"))


def test_programs_and_commands_have_one_folder_and_their_environment(seen: Seen) -> None:
    found = seen["surroundings"]
    assert found["ran"] == found["spawned"]
    assert found["ran"][1] == "green"
    assert found["plain"][0] == "none"
    assert found["plain"][1]
    assert found["made"] == "made\n"


def test_the_time_of_day_is_right_to_a_second(seen: Seen) -> None:
    assert max(seen["wall_clock"].values()) <= 1.0


def test_the_nics_of_a_ready_guest_work(seen: Seen) -> None:
    assert seen["at_once"] == 1


def test_counters_move_with_traffic(seen: Seen) -> None:
    found = seen["traffic"]
    assert found["reached"]
    assert found["answered"] == ECHOES
    assert ECHOES <= found["rx_frames"] < 4 * ECHOES
    assert ECHOES <= found["tx_frames"] < 4 * ECHOES
    assert found["rx_bytes"] >= 128 * ECHOES  # some kernels count a frame that comes in without its Ethernet header
    assert found["tx_bytes"] >= 142 * ECHOES
    assert found["cpu_s"] >= 0


def test_a_pulled_cable_carries_nothing_and_a_plugged_one_does_again(seen: Seen) -> None:
    assert seen["cables"] == {
        "before": ECHOES,
        "without": 0,
        "left without": 0,
        "again": ECHOES,
        "other": "none",
    }


def test_a_slow_reader_gets_a_megabyte_and_the_program_waits_for_it(seen: Seen) -> None:
    found = seen["much_output"]
    assert found["bytes"] > 900_000
    assert found["waits"]
    assert found["whole"]
    assert found["status"] == 0


def test_complaints_are_kept_apart(seen: Seen) -> None:
    assert seen["complaints"] == {"ran": True, "logged": True, "said": "done\n"}


def test_many_commands_follow_one_another(seen: Seen) -> None:
    found = seen["commands"]
    expected = ["DeadlineExceeded" if number % 10 == 9 else "none" for number in range(COMMANDS)]
    assert found["outcomes"] == expected
    print(f"{COMMANDS} commands in {found['elapsed_s']:.2f} s")


def test_several_threads_may_use_a_guest(seen: Seen) -> None:
    assert all(seen["crowded"]["right"])


def test_a_megabyte_goes_in_and_out(seen: Seen) -> None:
    assert seen["large_files"] == {"there": True, "taken": True}


def test_a_paused_guest_does_nothing_and_goes_on_where_it_was(seen: Seen) -> None:
    found = seen["stillness"]
    assert found["paused"] == []
    assert found["cpu_s"] < 0.1
    assert found["in order"]


def test_clocks_stay_together(seen: Seen) -> None:
    found = seen["clock"]
    print(f"the guest's clock moved by {found['moved_ns'] / 1e6:.3f} ms in {found['elapsed_s']:.1f} s")
    assert found["elapsed_s"] >= STEADY_S
    assert abs(found["moved_ns"]) < 5e6 * max(1.0, found["elapsed_s"] / STEADY_S)
