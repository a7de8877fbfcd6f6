"""The contract of hostemu.guests.api, kept by every kind of guest that this machine has, and by the fake."""

from __future__ import annotations

from hostemu.guests import BACKENDS, backend
from tests.contract.conftest import Kind, Play, Seen, probe


def test_a_backend_says_what_it_found(kind: Kind, play: Play) -> None:
    found = probe(kind.backend)
    assert found["usable"]
    assert found["reason"]


def test_a_command_has_output_input_and_environment(seen: Seen) -> None:
    assert seen["commands"] == {"echo": [["echo", "a", "b"], 0, "a b\n", ""], "cat": True, "env": True}


def test_a_failed_command_is_told_apart_from_a_late_one_and_the_guest_lives_on(seen: Seen) -> None:
    assert seen["failures"] == {
        "false": "CommandFailed",
        "unchecked": 1,
        "absent": "CommandFailed",
        "absent status": 127,
        "late": "DeadlineExceeded",
        "late within patience": True,
        "alive afterwards": 0,
    }


def test_a_program_is_talked_to_and_ends_with_its_input(seen: Seen) -> None:
    assert seen["conversation"] == {
        "answers": ["first\n", "second\n"],
        "while running": None,
        "status": 0,
        "rest": "",
        "stopped": 0,
    }


def test_a_program_can_be_ended_in_every_way_and_more_than_once(seen: Seen) -> None:
    found = seen["endings"]
    statuses = found["statuses"]
    assert statuses["kill"] == 137
    assert statuses["terminate"] in (137, 143)
    assert statuses["stop"] == 0
    assert all(statuses[f"{way} again"] == statuses[way] for way in ("terminate", "kill", "stop"))
    assert found["late"] == "DeadlineExceeded"
    assert found["left by the block"]


def test_files_go_in_and_come_out_of_the_guests_own_folder(seen: Seen) -> None:
    assert seen["files"] == {
        "equal": True,
        "seen by programs": True,
        "absent": "CommandFailed",
        "upwards": "InputError",
        "absolute": "InputError",
        "outside": False,
    }


def test_every_nic_has_a_descriptor_of_its_own_that_does_not_block(seen: Seen) -> None:
    assert seen["nics"] == {
        "distinct": 2,
        "blocking": [False, False],
        "absent": "InputError",
        "absent link": "InputError",
    }


def test_a_paused_guest_goes_on_after_resume(seen: Seen) -> None:
    found = seen["standing_still"]
    assert found["answer"] == "x\n"
    assert min(found["numbers"]) >= 0


def test_a_guest_that_does_not_run_refuses_everything(play: Play) -> None:
    found = play("not_running")
    assert set(found["before"]) == set(found["after"]) == {"GuestError"}
    assert found["started twice"] == ["GuestError"]


def test_a_backend_tells_what_its_guests_are_made_of(play: Play) -> None:
    seen = play("nature")
    assert all(kinds == ["str", "str"] for kinds in seen["identity"])
    assert seen["same again"]
    assert seen["told or why not"]
    assert all(seen["in proc"])
    assert seen["identity"] or not seen["has own kernel"]
    assert seen["in proc"] or not seen["has own kernel"]


def test_nothing_is_left_however_far_a_guest_came(play: Play) -> None:
    assert play("leaks") == {"descriptors": [0] * 5, "programs": [0] * 5}


def test_backends_are_known_by_their_names() -> None:
    assert {name: backend(name).name for name in BACKENDS} == {name: name for name in BACKENDS}
