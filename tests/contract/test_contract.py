"""The contract of hostemu.guests.api, kept by every backend that this machine has, and by the fake."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Protocol

import pytest

from hostemu.guests import BACKENDS, backend
from hostemu.lab import call_in_lab
from tests.contract import scenarios
from tests.lab.needs import POSSIBLE, REASON

IN_THIS_PROCESS = {"fake"}
TIMEOUT_S = 120.0


class Play(Protocol):
    """Plays a scenario on the backend under test."""

    def __call__(self, scenario: str) -> Any: ...


@cache
def probed(name: str) -> dict[str, Any]:
    """What a backend says of itself here."""
    found: dict[str, Any] = call_in_lab("tests.contract.scenarios:probe", {"backend": name}, timeout_s=TIMEOUT_S)
    return found


def require(name: str) -> None:
    """Skip the test, with the reason, where guests of this backend cannot be had."""
    if not POSSIBLE:
        pytest.skip(f"no lab on this machine: {REASON}")
    found = probed(name)
    if not found["usable"]:
        pytest.skip(f"backend {name}: {found['reason']}")


@pytest.fixture(params=BACKENDS)
def play(request: pytest.FixtureRequest, tmp_path: Path) -> Play:
    name = request.param
    argument = {"backend": name, "folder": str(tmp_path)}

    def here(scenario: str) -> Any:
        return getattr(scenarios, scenario)(argument, lambda _event: None)

    def in_lab(scenario: str) -> Any:
        return call_in_lab(f"tests.contract.scenarios:{scenario}", argument, timeout_s=TIMEOUT_S)

    if name in IN_THIS_PROCESS:
        return here
    require(name)
    return in_lab


def test_a_backend_says_what_it_found(play: Play) -> None:
    found = play("probe")
    assert found["usable"]
    assert found["reason"]


def test_a_command_has_output_input_and_environment(play: Play) -> None:
    seen = play("commands")
    assert seen == {"echo": [["echo", "a", "b"], 0, "a b\n", ""], "cat": True, "env": True}


def test_a_failed_command_is_told_apart_from_a_late_one_and_the_guest_lives_on(play: Play) -> None:
    assert play("failures") == {
        "false": "CommandFailed",
        "unchecked": 1,
        "absent": "CommandFailed",
        "absent status": 127,
        "late": "DeadlineExceeded",
        "late within patience": True,
        "alive afterwards": 0,
    }


def test_a_program_is_talked_to_and_ends_with_its_input(play: Play) -> None:
    assert play("conversation") == {
        "answers": ["first\n", "second\n"],
        "while running": None,
        "status": 0,
        "rest": "",
        "stopped": 0,
    }


def test_a_program_can_be_ended_in_every_way_and_more_than_once(play: Play) -> None:
    seen = play("endings")
    statuses = seen["statuses"]
    assert statuses["kill"] == 137
    assert statuses["terminate"] in (137, 143)
    assert statuses["stop"] == 0
    assert all(statuses[f"{way} again"] == statuses[way] for way in ("terminate", "kill", "stop"))
    assert seen["late"] == "DeadlineExceeded"
    assert seen["left by the block"]


def test_files_go_in_and_come_out_of_the_guests_own_folder(play: Play, tmp_path: Path) -> None:
    assert play("files") == {
        "equal": True,
        "seen by programs": True,
        "absent": "CommandFailed",
        "upwards": "InputError",
        "absolute": "InputError",
    }
    assert not (tmp_path / "outside").exists()


def test_every_nic_has_a_descriptor_of_its_own_that_does_not_block(play: Play) -> None:
    assert play("nics") == {
        "distinct": 2,
        "blocking": [False, False],
        "absent": "InputError",
        "absent link": "InputError",
    }


def test_a_paused_guest_goes_on_after_resume(play: Play) -> None:
    seen = play("standing_still")
    assert seen["answer"] == "x\n"
    assert min(seen["numbers"]) >= 0


def test_a_guest_that_does_not_run_refuses_everything(play: Play) -> None:
    seen = play("not_running")
    assert set(seen["before"]) == set(seen["after"]) == {"GuestError"}
    assert seen["started twice"] == ["GuestError"]


def test_a_backend_tells_what_its_guests_are_made_of(play: Play) -> None:
    seen = play("nature")
    assert all(kinds == ["str", "str"] for kinds in seen["identity"])
    assert seen["same again"]
    assert seen["told or why not"]
    assert all(seen["in proc"])
    assert seen["identity"] or not seen["has own kernel"]
    assert seen["in proc"] or not seen["has own kernel"]


def test_nothing_is_left_however_far_a_guest_came(play: Play) -> None:
    seen = play("leaks")
    assert seen == {"descriptors": [0] * 5, "programs": [0] * 5}


def test_backends_are_known_by_their_names() -> None:
    assert {name: backend(name).name for name in BACKENDS} == {name: name for name in BACKENDS}
