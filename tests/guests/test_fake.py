"""The fake guest fails on demand, in the ways in which real ones do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed, DeadlineExceeded, GuestError
from hostemu.guests import GuestSpec, NicSpec
from hostemu.guests.fake import FakeBackend, FakeGuest, Faults

SPEC = GuestSpec("a", (NicSpec("eth0", "02:00:00:00:00:01"),))


def soon() -> Deadline:
    return Deadline.after(5, "a fake guest")


def made(folder: Path, **faults: frozenset[str]) -> FakeGuest:
    guest = FakeBackend(Faults(**faults)).create(SPEC, folder)
    assert isinstance(guest, FakeGuest)
    return guest


@pytest.fixture
def healthy(tmp_path: Path) -> Iterator[FakeGuest]:
    with made(tmp_path) as guest:
        guest.start(soon())
        yield guest


def test_a_guest_can_fail_to_start(tmp_path: Path) -> None:
    with made(tmp_path, fails_to_start=frozenset("a")) as guest, pytest.raises(GuestError):
        guest.start(soon())


def test_a_guest_can_never_get_ready(tmp_path: Path) -> None:
    with made(tmp_path, never_ready=frozenset("a")) as guest:
        guest.start(soon())
        with pytest.raises(DeadlineExceeded):
            guest.wait_ready(Deadline.after(0.01, "an answer"))


def test_a_guest_can_die_when_it_is_used(tmp_path: Path) -> None:
    with made(tmp_path, dies_when_used=frozenset("a")) as guest:
        guest.start(soon())
        guest.wait_ready(soon())
        with pytest.raises(GuestError) as caught:
            guest.run(["true"], deadline=soon())
        assert not isinstance(caught.value, CommandFailed)
        with pytest.raises(GuestError):
            guest.wait_ready(soon())


def test_faults_are_of_the_named_guests_only(tmp_path: Path) -> None:
    with made(tmp_path, fails_to_start=frozenset("b"), never_ready=frozenset("b")) as guest:
        guest.start(soon())
        guest.wait_ready(soon())
        assert guest.run(["true"], deadline=soon()).exit_status == 0


def test_a_failed_command_says_what_it_was_and_how_it_ended(healthy: FakeGuest) -> None:
    with pytest.raises(CommandFailed) as caught:
        healthy.run(["false"], deadline=soon())
    assert "false" in str(caught.value)
    assert "exit status 1" in str(caught.value)


def test_frames_cross_between_emulator_and_guest(healthy: FakeGuest) -> None:
    far = healthy.far_ends["eth0"]
    far.send(b"frame")
    with open(healthy.nic_fd("eth0"), "r+b", buffering=0, closefd=False) as near:
        assert near.read(100) == b"frame"
        near.write(b"answer")
    assert far.recv(100) == b"answer"
