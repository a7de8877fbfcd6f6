"""Programs in a guest, as the host sees them; the agent is the test."""

from __future__ import annotations

import errno
import os
import signal
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed, DeadlineExceeded, GuestError
from hostemu.guests import programs
from hostemu.guests.channel import MAX_PAYLOAD, WINDOW_BYTES, Channel, FrameKind, spawn_payload
from hostemu.guests.programs import LOST, AgentProcess, finish
from tests.guests.agents import PlayedAgent, talking

PLACE = ("/own", "")
STARTED = bytes(4)
EXITED = 0x0300
"""Exit status 3, as waitpid(2) says it."""


def soon() -> Deadline:
    """A deadline that only a failure reaches."""
    return Deadline.after(10.0, "the played agent")


def ending(status: int, cpu_us: int = 0, peak_bytes: int = 0) -> bytes:
    """What EXIT carries."""
    return struct.pack("<IQQ", status, cpu_us, peak_bytes)


@contextmanager
def meanwhile(function: Callable[[], object]) -> Iterator[Future[object]]:
    """Call it in another thread."""
    with ThreadPoolExecutor(1) as other:
        yield other.submit(function)


def spawned(channel: Channel, agent: PlayedAgent, log: Path | None = None) -> tuple[AgentProcess, int]:
    """A program that the agent has started, and its stream."""
    with meanwhile(lambda: AgentProcess(channel, ["a", "b"], {"C": "d"}, PLACE, log)) as program:
        stream, order = agent.hear(FrameKind.SPAWN)
        assert order == spawn_payload(["a", "b"], {"C": "d"}, *PLACE)
        agent.say(FrameKind.STARTED, stream, STARTED)
        found = program.result()
    assert isinstance(found, AgentProcess)
    return found, stream


def descriptors() -> int:
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


def run(channel: Channel, argv: Sequence[str] = ("a",), stdin: bytes = b"", seconds: float = 10.0) -> object:
    """A command, to its end."""
    return finish(channel, argv, {}, PLACE, stdin, Deadline.after(seconds, "the command"))


def test_a_program_is_talked_to_until_it_has_said_everything(tmp_path: Path) -> None:
    with talking() as (channel, agent):
        program, stream = spawned(channel, agent, tmp_path / "log")
        program.stdin.write(b"question")
        program.stdin.flush()
        assert agent.hear(FrameKind.STDIN) == (stream, b"question")
        agent.say(FrameKind.STDOUT, stream, b"answer")
        agent.say(FrameKind.STDERR, stream, b"grumble")
        assert os.read(program.stdout.fileno(), 100) == b"answer"
        assert program.poll() is None
        credited = {agent.hear(FrameKind.CREDIT), agent.hear(FrameKind.CREDIT)}
        assert credited == {(stream, struct.pack("<I", 6)), (stream, struct.pack("<I", 7))}
        program.stdin.close()
        assert agent.hear(FrameKind.STDIN) == (stream, b"")
        for kind in (FrameKind.STDOUT, FrameKind.STDERR):
            agent.say(kind, stream)
        agent.say(FrameKind.EXIT, stream, ending(EXITED, 1_500_000, 4096))
        assert program.wait(soon()) == 3
        assert program.stdout.read() == b""
        assert program.stop() == program.stop() == 3
        used = program.usage()
        assert (used.cpu_s, used.rss_bytes, used.maxrss_bytes) == (1.5, 0, 4096)
        assert agent.hears_nothing()
    assert (tmp_path / "log").read_bytes() == b"grumble"


def test_a_signal_is_told_as_shells_tell_it() -> None:
    with talking() as (channel, agent):
        program, stream = spawned(channel, agent)
        program.terminate()
        assert agent.hear(FrameKind.SIGNAL) == (stream, bytes([signal.SIGTERM]))
        agent.say(FrameKind.EXIT, stream, ending(signal.SIGTERM))
        assert program.wait(soon()) == 128 + signal.SIGTERM
        program.terminate()
        program.kill()
        assert program.stop() == 143
        assert agent.hears_nothing()


def test_input_is_sent_no_faster_than_it_is_read() -> None:
    much = os.urandom(4 * WINDOW_BYTES)
    with talking() as (channel, agent):
        program, stream = spawned(channel, agent)
        with meanwhile(lambda: program.stdin.write(much)) as writing:
            got = bytearray()
            while len(got) < len(much):
                while len(got) % WINDOW_BYTES or not got:
                    got += agent.hear(FrameKind.STDIN)[1]
                assert agent.hears_nothing()
                assert not writing.done() or len(got) == len(much)
                agent.say(FrameKind.CREDIT, stream, struct.pack("<I", WINDOW_BYTES))
                if len(got) < len(much):
                    got += agent.hear(FrameKind.STDIN)[1]
            assert writing.result() == len(much)
        assert got == much
        agent.say(FrameKind.EXIT, stream, ending(0))
        assert program.stop() == 0


def test_a_writer_learns_that_the_program_has_ended() -> None:
    with talking() as (channel, agent):
        program, stream = spawned(channel, agent)
        with meanwhile(lambda: program.stdin.write(bytes(2 * WINDOW_BYTES))) as writing:
            agent.hear(FrameKind.STDIN)
            agent.say(FrameKind.EXIT, stream, ending(0))
            with pytest.raises(BrokenPipeError):
                writing.result()
        assert program.stop() == 0


def test_usage_is_asked_while_a_program_runs() -> None:
    with talking() as (channel, agent):
        program, stream = spawned(channel, agent)
        with meanwhile(program.usage) as used:
            assert agent.hear(FrameKind.USAGE) == (stream, b"")
            agent.say(FrameKind.ANSWER, stream, struct.pack("<QQQ", 250_000, 1000, 2000))
            assert used.result() == programs.ProcessUsage(0.25, 1000, 2000)
        with meanwhile(program.usage) as used:
            agent.hear(FrameKind.USAGE)
            agent.say(FrameKind.EXIT, stream, ending(0, 500_000, 3000))
            assert used.result() == programs.ProcessUsage(0.5, 0, 3000)
        program.stop()


def test_several_threads_ask_for_usage_and_each_is_answered() -> None:
    with talking() as (channel, agent), ThreadPoolExecutor(4) as askers:
        program, stream = spawned(channel, agent)
        used = [askers.submit(program.usage) for _ in range(4)]
        for number in range(4):
            agent.hear(FrameKind.USAGE)
            agent.say(FrameKind.ANSWER, stream, struct.pack("<QQQ", 1_000_000, number, 0))
        assert sorted(one.result().rss_bytes for one in used) == [0, 1, 2, 3]
        agent.say(FrameKind.EXIT, stream, ending(0))
        program.stop()


def test_there_is_no_such_program() -> None:
    before = descriptors()
    with (
        talking() as (channel, agent),
        meanwhile(lambda: AgentProcess(channel, ["a"], {}, PLACE, None)) as program,
    ):
        stream, _ = agent.hear(FrameKind.SPAWN)
        agent.say(FrameKind.STARTED, stream, struct.pack("<I", errno.ENOENT))
        with pytest.raises(FileNotFoundError):
            program.result()
    assert descriptors() == before


def test_a_program_that_starts_too_late_is_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(programs, "START_S", 0.05)
    before = descriptors()
    with talking() as (channel, agent):
        with pytest.raises(DeadlineExceeded):
            AgentProcess(channel, ["a"], {}, PLACE, tmp_path / "log")
        stream, _ = agent.hear(FrameKind.SPAWN)
        assert agent.hear(FrameKind.FORGET) == (stream, b"")
        for kind, payload in ((FrameKind.STARTED, STARTED), (FrameKind.STDERR, b"late"), (FrameKind.EXIT, b"")):
            agent.say(kind, stream, payload)
        agent.ready()
        channel.wait_ready(soon())
    assert (tmp_path / "log").read_bytes() == b""
    assert descriptors() == before


def test_an_order_that_is_too_long_is_refused_as_the_kernel_would() -> None:
    with talking() as (channel, agent):
        with pytest.raises(OSError, match="too long") as caught:
            run(channel, ["a", "b" * MAX_PAYLOAD])
        assert caught.value.errno == errno.E2BIG
        agent.hear(FrameKind.FORGET)
        assert agent.hears_nothing()


def test_a_command_has_all_its_output() -> None:
    with talking() as (channel, agent):
        with meanwhile(lambda: run(channel, stdin=b"in")) as finished:
            stream, _ = agent.hear(FrameKind.SPAWN)
            agent.say(FrameKind.STARTED, stream, STARTED)
            assert agent.hear(FrameKind.STDIN) == (stream, b"in")
            assert agent.hear(FrameKind.STDIN) == (stream, b"")
            for _ in range(3):
                agent.say(FrameKind.STDOUT, stream, b"o" * 1000)
                agent.say(FrameKind.STDERR, stream, b"e")
            agent.say(FrameKind.EXIT, stream, ending(EXITED))
            assert finished.result() == programs.Finished(("a",), 3, b"o" * 3000, b"eee")
        for _ in range(6):
            agent.hear(FrameKind.CREDIT)
        assert agent.hears_nothing()


def test_a_late_command_is_forgotten() -> None:
    with talking() as (channel, agent):
        with meanwhile(lambda: run(channel, seconds=0.2)) as finished:
            stream, _ = agent.hear(FrameKind.SPAWN)
            agent.say(FrameKind.STARTED, stream, STARTED)
            with pytest.raises(DeadlineExceeded):
                finished.result()
        agent.hear(FrameKind.STDIN)
        assert agent.hear(FrameKind.FORGET) == (stream, b"")


def test_a_guest_that_dies_takes_its_programs_with_it() -> None:
    before = descriptors()
    with talking() as (channel, agent):
        program, _ = spawned(channel, agent)
        with meanwhile(lambda: run(channel)) as finished:
            agent.hear(FrameKind.SPAWN)
            agent.sock.close()
            with pytest.raises(GuestError) as caught:
                finished.result()
        assert not isinstance(caught.value, CommandFailed)
        assert program.poll() == program.wait(soon()) == program.stop() == LOST
        assert program.usage() == programs.ProcessUsage()
        program.kill()
        with pytest.raises(ValueError, match="closed"):
            program.stdin.write(b"x")
    assert descriptors() == before
