"""What guests with a kernel of their own have in common, beside the contract."""

from __future__ import annotations

from typing import Any

import pytest

from hostemu.guests import BACKENDS
from tests.contract.conftest import KINDS, Kind, Play, Seen
from tests.contract.lives import LAST_WORDS, SWAPPED

AT_ONCE_S = 10.0
"""Far less than the patience with which an answer is awaited."""


@pytest.fixture(
    scope="module", params=[name for name, kind in KINDS.items() if BACKENDS[kind.backend].has_own_kernel]
)
def kind(request: pytest.FixtureRequest) -> Kind:
    """A kind of guest with a kernel."""
    return KINDS[request.param]


@pytest.fixture(scope="module")
def seen(play: Play) -> Seen:
    """What was seen of guests' lives."""
    return Seen(play("lives", "lives"))


def test_a_guest_that_is_killed_is_told_apart_from_a_failing_command(seen: Seen) -> None:
    found = seen["killed"]
    assert found["failing"]["kind"] == "CommandFailed"
    running = found["running"]
    assert running["kind"] == "GuestError"
    assert "has died" in running["text"]
    assert LAST_WORDS in running["text"]
    assert running["log"]
    assert running["elapsed_s"] < AT_ONCE_S


def test_a_dead_guest_refuses_everything_at_once_and_can_be_stopped(seen: Seen) -> None:
    found = seen["killed"]
    assert {use: told["kind"] for use, told in found["uses"].items()} == dict.fromkeys(found["uses"], "GuestError")
    assert max(told["elapsed_s"] for told in found["uses"].values()) < AT_ONCE_S
    assert all("has died" in told["text"] for told in found["uses"].values()), found["uses"]
    assert found["status"] == 137
    assert found["children"] == 0
    assert found["afterwards"] == "GuestError"


def test_a_guest_whose_kernel_panics_says_so_and_it_had_come_back_to_life(seen: Seen) -> None:
    found = seen["crashed"]
    assert found["alive"] == "again\n"
    assert found["kind"] == "GuestError"
    assert "panic" in found["text"].lower()
    assert found["elapsed_s"] < AT_ONCE_S


def test_a_paused_guest_is_stopped_without_much_ado(seen: Seen) -> None:
    found = seen["stopped while paused"]
    assert found["statuses"] == [137] * 3
    assert found["elapsed_s"] < 8.0
    assert found["children"] == 0


def test_two_guests_of_one_make_are_two(seen: Seen) -> None:
    found = seen["pair"]
    assert len(set(found["random"])) == 2
    assert max(found["late_s"]) <= 1.0
    assert found["pids"] == 0
    assert found["listing"] == ["1", "x"]
    assert found["private"] == ["unseen"]


def test_guests_have_the_programs_and_files_that_they_must_have(seen: Seen) -> None:
    found = seen["pair"]
    assert found["letters"] == ["dear guest\n"] * 2
    assert all(said.startswith("iperf version") for said in found["iperf"])


def test_nics_have_the_names_that_they_are_given_whatever_their_order(seen: Seen) -> None:
    found = seen["pair"]
    expected = {nic.name: [nic.mac, *nic.addresses] for nic in SWAPPED}
    assert found["addresses"] == [expected] * 2
    assert found["answers"] == [3, 3]


def test_a_shared_folder_is_written_and_everything_else_of_the_host_only_read(seen: Seen) -> None:
    found: dict[str, Any] = seen["shares"]
    pseudo = found.pop("own pseudo files")
    assert found == {
        "sees": True,
        "folder": True,
        "reads": ["of the host\n", "given\n"],
        "passwd": True,
        "writes": "from the guest\n",
        "outside": "CommandFailed",
        "over": "CommandFailed",
        "temporary": ["x"],
        "spawned": True,
        "later": "later\n",
        "seen by the host": "from the guest\nsaid\n",
        "nothing outside": True,
    }
    assert pseudo[0] == "guest"
    assert {"eth0", "eth1", "lo"} <= set(pseudo[1:])


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("memory", "too little memory"),
        ("garbage", "no-kernel"),
        ("absent", "absent-kernel"),
        ("program", "hostemu-no-such-program"),
    ],
)
def test_a_guest_that_cannot_be_is_bad_input_and_nothing_is_started(seen: Seen, what: str, words: str) -> None:
    found = seen["refusals"]
    assert found[what]["kind"] == "InputError"
    assert words in found[what]["text"]
    assert found["children"] == 0


def test_an_image_that_does_not_fit_is_an_error(seen: Seen) -> None:
    found = seen["bulky"]
    assert found["kind"] == "GuestError"
    assert "too little memory for its image" in found["text"] or "panic" in found["text"], found["text"]
    assert found["elapsed_s"] < AT_ONCE_S
