"""The runner's talk with programs, tried on fake guests, whose programs say back what they are told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.base.errors import DeadlineExceeded, GuestError
from hostemu.guests.api import GuestSpec
from hostemu.guests.fake import FakeBackend
from hostemu.runner.programs import Program, ProgramGroup


@pytest.fixture
def group(tmp_path: Path) -> Iterator[ProgramGroup]:
    """A group with two programs in one guest."""
    with FakeBackend().create(GuestSpec("g"), tmp_path) as guest:
        guest.start(Deadline.after(1, "start"))
        with ProgramGroup(tmp_path / "programs") as group:
            for name in ("first", "second"):
                group.start(name, guest, "module", '{"key": 1}')
            yield group


def say(program: Program, message: dict[str, object]) -> None:
    """Have the program send this event."""
    program.send(message)
    assert program.process.poll() is None


def test_configurations_are_written_beside_the_logs(group: ProgramGroup, tmp_path: Path) -> None:
    assert (tmp_path / "programs" / "first.json").read_text() == '{"key": 1}'
    assert [program.name for program in group.programs] == ["first", "second"]


def test_events_are_kept_by_kind_and_told_in_order(group: ProgramGroup) -> None:
    first = group.programs[0]
    for number in range(3):
        say(first, {"event": "progress", "number": number})
    events = [event["number"] for program, event in group.poll(1) if program is first]
    assert events == [0, 1, 2]
    assert first.events["progress"]["number"] == 2


def test_a_line_may_come_in_pieces(group: ProgramGroup) -> None:
    first = group.programs[0]
    first.process.stdin.write(b'{"event": "re')
    assert first.process.poll() is None
    assert list(group.poll(1)) == []
    first.process.stdin.write(b'ady"}\n')
    assert first.process.poll() is None
    assert [event["event"] for _, event in group.poll(1)] == ["ready"]


def test_waiting_needs_the_event_of_every_program(group: ProgramGroup) -> None:
    first, second = group.programs
    say(first, {"event": "ready"})
    with pytest.raises(DeadlineExceeded, match="both"):
        group.wait_for("ready", group.programs, Deadline.after(0.2, "both"))
    say(second, {"event": "ready"})
    group.wait_for("ready", group.programs, Deadline.after(5, "both"))
    assert {"ready"} == set(first.events) & set(second.events)


def test_a_program_that_ends_early_is_named_with_the_last_lines_of_its_log(group: ProgramGroup) -> None:
    first = group.programs[0]
    first.log.write_text("one\ntwo\nthe reason\n")
    first.process.kill()
    with pytest.raises(GuestError, match="first") as caught:
        list(group.poll(1))
    assert "the reason" in str(caught.value)
    with pytest.raises(GuestError, match="first"):
        first.send({"do": "start"})


def test_the_last_word_of_a_program_goes_before_its_log(group: ProgramGroup) -> None:
    second = group.programs[1]
    say(second, {"event": "error", "message": "the disk is full"})
    assert [event["event"] for _, event in group.poll(1)] == ["error"]
    second.process.kill()
    with pytest.raises(GuestError, match="the disk is full"):
        list(group.poll(1))
