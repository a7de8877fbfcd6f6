"""Where output goes: all of it, in order, and credited when it has been taken, not before."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.deadline import Deadline
from hostemu.guests.sinks import File, Memory, Nowhere, Pipe, Sink

PATIENCE_S = 10.0


class Credits:
    """What a sink has credited."""

    def __init__(self, sink: Sink) -> None:
        self.bytes = 0
        sink.credit = self._add

    def _add(self, count: int) -> None:
        assert count >= 0
        self.bytes += count

    def reach(self, count: int) -> None:
        """Wait until so much has been credited."""
        Deadline.after(PATIENCE_S, f"{count} bytes to be credited").wait_until(lambda: self.bytes >= count)
        assert self.bytes == count


def descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def capacity() -> int:
    """What a pipe holds."""
    near, far = os.pipe()
    size = fcntl.fcntl(near, fcntl.F_GETPIPE_SZ)
    os.close(near)
    os.close(far)
    return size


@given(pieces=st.lists(st.binary(min_size=1, max_size=50_000), max_size=8), reads=st.lists(st.integers(1, 30_000)))
def test_a_slow_reader_gets_everything_in_order_and_is_credited_as_it_takes(
    pieces: list[bytes], reads: list[int]
) -> None:
    pipe, got = Pipe(), bytearray()
    credits, capacity = Credits(pipe), fcntl.fcntl(pipe.read_fd, fcntl.F_GETPIPE_SZ)
    turns = iter(reads)
    for piece in pieces:
        pipe.feed(piece)
        got += os.read(pipe.read_fd, next(turns, 1 << 16))
        assert credits.bytes <= len(got) + capacity
    pipe.end()
    while data := os.read(pipe.read_fd, next(turns, 1 << 16)):
        got += data
        assert credits.bytes <= len(got) + capacity
    os.close(pipe.read_fd)
    assert got == b"".join(pieces)
    credits.reach(len(got))


def test_a_reader_that_sleeps_is_not_waited_for(capacity: int) -> None:
    pipe = Pipe()
    credits, much = Credits(pipe), 3 * capacity
    began_s = time.monotonic()
    pipe.feed(bytes(much))
    pipe.end()
    assert time.monotonic() - began_s < 1.0
    assert credits.bytes == capacity
    with os.fdopen(pipe.read_fd, "rb") as reader:
        assert len(reader.read()) == much
    credits.reach(much)


def test_the_end_comes_after_everything_and_only_once(capacity: int) -> None:
    before, pipe = descriptors(), Pipe()
    pipe.feed(bytes(2 * capacity))
    pipe.end()
    pipe.end()
    with os.fdopen(pipe.read_fd, "rb") as reader:
        assert len(reader.read()) == 2 * capacity
        pipe.end()
    Deadline.after(PATIENCE_S, "the pipe to be closed").wait_until(lambda: descriptors() == before)


def test_what_a_reader_that_has_gone_does_not_read_is_credited(capacity: int) -> None:
    """Else the program would wait for ever to say the rest."""
    pipe = Pipe()
    credits, much = Credits(pipe), 3 * capacity
    pipe.feed(bytes(much))
    os.close(pipe.read_fd)
    credits.reach(much)
    pipe.feed(b"more")
    assert credits.bytes == much + 4
    pipe.end()


def test_an_abandoned_pipe_is_closed_and_swallows_the_rest(capacity: int) -> None:
    before, pipe = descriptors(), Pipe()
    credits = Credits(pipe)
    pipe.feed(bytes(2 * capacity))
    pipe.abandon()
    pipe.abandon()
    pipe.feed(b"late")
    pipe.end()
    assert credits.bytes == capacity + 4
    with os.fdopen(pipe.read_fd, "rb") as reader:
        assert len(reader.read()) == capacity
    assert descriptors() == before


def test_many_pipes_at_once_each_get_their_own(capacity: int) -> None:
    before, pipes = descriptors(), [Pipe() for _ in range(20)]
    got: dict[int, bytes] = {}

    def read(number: int) -> None:
        with os.fdopen(pipes[number].read_fd, "rb") as reader:
            got[number] = reader.read()

    readers = [threading.Thread(target=read, args=[number]) for number in range(len(pipes))]
    for number, pipe in enumerate(pipes):
        pipe.feed(bytes([number]) * 2 * capacity)
    for reader in readers:
        reader.start()
    for number, pipe in enumerate(pipes):
        pipe.feed(bytes([number]) * capacity)
        pipe.end()
    for reader in readers:
        reader.join()
    assert got == {number: bytes([number]) * 3 * capacity for number in range(len(pipes))}
    Deadline.after(PATIENCE_S, "the pipes to be closed").wait_until(lambda: descriptors() == before)


def test_memory_keeps_and_nowhere_drops_and_both_credit() -> None:
    memory, nowhere = Memory(), Nowhere()
    kept, dropped = Credits(memory), Credits(nowhere)
    for sink in (memory, nowhere):
        sink.feed(b"abc")
        sink.feed(b"de")
        sink.end()
        sink.end()
    assert memory.content == b"abcde"
    assert (kept.bytes, dropped.bytes) == (5, 5)


def test_a_file_holds_what_came_before_its_end(tmp_path: Path) -> None:
    """A frame may still be on its way when a program is forgotten."""
    path = tmp_path / "log"
    sink = File(path)
    credits = Credits(sink)
    sink.feed(b"said ")
    assert path.read_bytes() == b"said "
    sink.feed(b"in time")
    sink.end()
    sink.end()
    sink.feed(b"too late")
    assert path.read_bytes() == b"said in time"
    assert credits.bytes == 20


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="not found: /dev/full")
def test_a_full_disk_does_not_stop_a_program() -> None:
    sink = File(Path("/dev/full"))
    credits = Credits(sink)
    sink.feed(b"lost")
    sink.end()
    assert credits.bytes == 4
