"""The agent itself, under the address and undefined-behaviour sanitisers, as an ordinary process of this machine.

Whatever the host says in whatever order: the agent goes on, all output comes out, and every program's place is free
once the program is over.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostemu.guests.channel import (
    HEAD,
    MAX_PAYLOAD,
    FrameKind,
    frame,
    spawn_payload,
)
from hostemu.guests.toolchain import NATIVE
from tests.guests.agent_host import ENVIRONMENT, KINDS, PATIENCE_S, PLACES, Host

HARNESS = Path(__file__).with_name("c") / "agent_on_host.c"
COMPILER = shutil.which("gcc")
SANITISERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FLAGS = ("-std=gnu11", "-g", "-O1", *SANITISERS, "-Wall", "-Wextra", "-Werror")
HAS_NO_NAMESPACES = 77
pytestmark = pytest.mark.skipif(COMPILER is None, reason="not found: gcc")


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent, compiled with sanitisers."""
    program = tmp_path_factory.mktemp("agent") / "agent"
    parts = [path for path in sorted(NATIVE.glob("*.c")) if path.name != "agent.c"]  # the harness includes that one
    command = [str(COMPILER), *FLAGS, f"-I{NATIVE}", "-Wl,--wrap=reboot", "-o", program, HARNESS, *parts]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find" in done.stderr:
        pytest.skip(f"no sanitisers: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return program


@contextmanager
def hosted(agent: Path) -> Iterator[Host]:
    """An agent that must end well: nothing leaked, no memory misused, no program left."""
    near, far = socket.socketpair()
    with near:
        with far:
            command = [agent, str(far.fileno())]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, pass_fds=[far.fileno()])
        try:
            if process.poll() == HAS_NO_NAMESPACES:
                pytest.skip("this user may not make user namespaces")
            host = Host(near)
            yield host
            near.sendall(frame(FrameKind.END, 0))
            _, said = process.communicate(timeout=PATIENCE_S)
            assert (process.returncode, said) == (0, b"")
        finally:
            process.kill()
            process.communicate()


ACTS = ("feed", "end_input", "signal", "credit", "forget", "usage", "listen")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("spawn"), st.sampled_from(sorted(KINDS)), st.just(0)),
        st.tuples(st.sampled_from(ACTS), st.integers(0, 30), st.integers(0, 255)),
        st.tuples(st.just("nonsense"), st.integers(0, 255), st.integers(0, 30)),
    ),
    min_size=5,
    max_size=60,
)


def act(host: Host, name: str, which: int, number: int) -> None:
    """One step about one of the programs."""
    programs = list(host.programs.values())
    if name == "listen" or not programs:
        host.listen(number * 1e-4)
        return
    program = programs[which % len(programs)]
    if name == "feed":
        host.feed(program, bytes([number]) * (number * number))
    elif name == "credit":
        host.credit(program, program.unread * number // 255)
    elif name == "signal":
        host.signal(program, number)
    else:
        getattr(host, name)(program)


def nonsense(host: Host, kind: int, length: int) -> None:
    """A frame about a stream that nobody uses, with a payload that means nothing; none that ends the agent."""
    if kind != FrameKind.END:
        host.send(kind, (1 << 16) - 1, bytes([0xFF]) * length)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_nothing_that_a_host_says_stops_the_agent_or_loses_output(
    agent: Path, steps: list[tuple[str, int, int]]
) -> None:
    with hosted(agent) as host:
        for name, which, number in steps:
            if name == "spawn":
                if sum(program.status is None for program in host.programs.values()) < PLACES:
                    host.spawn(str(which))
            elif name == "nonsense":
                nonsense(host, which, number)
            else:
                act(host, name, which, number)
        host.finish()


def test_places_are_free_again_whatever_became_of_the_programs(agent: Path) -> None:
    """Twice as many programs as there are places, one after the other; then as many as there are at once, twice."""
    with hosted(agent) as host:
        for number in range(2 * PLACES):
            program = host.spawn(sorted(KINDS)[number % len(KINDS)])
            host.await_that(lambda program=program: program.errno is not None)  # type: ignore[misc]
            assert program.errno == 0
            match number % 4:
                case 0:
                    host.forget(program)
                case 1:
                    host.signal(program, signal.SIGKILL)
                case 2:
                    host.feed(program, bytes(1000))
                    host.end_input(program)
                    host.forget(program)
            if not program.is_forgotten:
                host.finish()
        for _ in range(2):
            for program in host.fill():
                host.forget(program)


def test_one_program_too_many_is_told_so_and_nothing_else_suffers(agent: Path) -> None:
    with hosted(agent) as host:
        running = host.fill()
        program = host.spawn("echo")
        host.await_that(lambda: program.errno is not None)
        assert program.errno == errno.EAGAIN
        host.programs.pop(program.stream)
        for known in running:
            host.feed(known, b"still here")
        host.finish()


@pytest.mark.parametrize(
    ("argv", "folder", "root", "why"),
    [
        (["hostemu-absent"], "", "", errno.ENOENT),
        (["/etc/passwd"], "", "", errno.EACCES),
        (["true"], "/no/such/folder", "", errno.ENOENT),
        (["true"], "", "/no/such/root", errno.ENOENT),
    ],
)
def test_why_a_program_does_not_start_is_told(agent: Path, argv: list[str], folder: str, root: str, why: int) -> None:
    with hosted(agent) as host:
        for stream in range(1, 2 * PLACES):
            host.send(FrameKind.SPAWN, stream, spawn_payload(argv, ENVIRONMENT, folder, root))
        host.await_that(lambda: len(host.others) == 2 * PLACES - 1)
        assert host.others == [(FrameKind.STARTED, stream, struct.pack("<I", why)) for stream in range(1, 2 * PLACES)]


GOOD = spawn_payload(["true"], {"A": "b"}, "", "")


@pytest.mark.parametrize("payload", [GOOD[:length] for length in range(len(GOOD))] + [b"\xff\xff\xff\xff" + GOOD[4:]])
def test_half_an_order_is_none(agent: Path, payload: bytes) -> None:
    with hosted(agent) as host:
        host.send(FrameKind.SPAWN, 1, payload)
        host.await_that(lambda: bool(host.others))
        assert host.others == [(FrameKind.STARTED, 1, struct.pack("<I", errno.EINVAL))]


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        (FrameKind.READ, b"/no/such/file", errno.ENOENT),
        (FrameKind.READ, b"/" + b"x" * 1000, errno.ENOENT),
        (FrameKind.WRITE, b"no end", errno.EINVAL),
        (FrameKind.WRITE, b"/no/such/file\0content", errno.ENOENT),
        (FrameKind.MOUNT, b"only\0two\0", errno.EINVAL),
        (FrameKind.RESEED, b"short", errno.EINVAL),
        (FrameKind.RESEED, bytes(8 + 257), errno.EINVAL),
        (FrameKind.NETLINK, b"", None),
        (99, b"", errno.ENOSYS),
    ],
)
def test_requests_that_cannot_be_met_are_answered(agent: Path, kind: int, payload: bytes, why: int | None) -> None:
    with hosted(agent) as host:
        host.send(kind, 7, payload)
        if why is not None:
            host.await_that(lambda: bool(host.others))
            assert host.others == [(FrameKind.ANSWER, 7, struct.pack("<I", why))]
        host.send(FrameKind.CLOCK, 8)
        host.await_that(lambda: any(stream == 8 for _, stream, _ in host.others))


def test_a_small_file_is_read_and_written(agent: Path, tmp_path: Path) -> None:
    with hosted(agent) as host:
        host.send(FrameKind.WRITE, 1, bytes(tmp_path / "file") + b"\0" + b"content")
        host.send(FrameKind.READ, 2, bytes(tmp_path / "file"))
        host.await_that(lambda: len(host.others) == 2)
        assert [payload for _, _, payload in host.others] == [bytes(4), bytes(4) + b"content"]
        (tmp_path / "large").write_bytes(bytes(2 * MAX_PAYLOAD))
        host.send(FrameKind.READ, 3, bytes(tmp_path / "large"))
        host.await_that(lambda: len(host.others) == 3)
        assert len(host.others[2][2]) == MAX_PAYLOAD


def test_usage_counts_a_program_and_all_that_it_started(agent: Path) -> None:
    with hosted(agent) as host:
        program = host.spawn("family")
        host.feed(program, b"x")
        host.await_that(lambda: bool(program.output[FrameKind.STDOUT]))
        host.usage(program)
        host.await_that(lambda: bool(program.answers))
        _, resident_bytes, peak_bytes = struct.unpack("<QQQ", program.answers[0])
        assert resident_bytes > peak_bytes > 100_000
        pages = [int(path.read_text().split()[1]) for path in Path("/proc").glob("[0-9]*/statm") if path.exists()]
        assert peak_bytes <= max(pages) * os.sysconf("SC_PAGE_SIZE") * 100
        program.answers.clear()


def test_a_frame_longer_than_any_may_be_ends_the_agent(agent: Path) -> None:
    too_long = HEAD.pack(MAX_PAYLOAD + 1, FrameKind.STDIN, 0, 1)
    with pytest.raises(AssertionError, match="a frame longer than any may be"), hosted(agent) as host:
        host.send_bytes(frame(FrameKind.STDIN, 1, bytes(MAX_PAYLOAD)) + too_long)


def test_frames_are_taken_in_any_pieces_to_the_last_byte_of_the_agents_buffer(agent: Path) -> None:
    """The buffer holds the longest frame: this one and an empty CREDIT fill it, when the last pieces come at once."""
    long = frame(FrameKind.STDIN, 5, bytes(MAX_PAYLOAD - HEAD.size))
    stream = long + frame(FrameKind.CREDIT, 5) + frame(FrameKind.USAGE, 5)
    with hosted(agent) as host:
        for cut in (1, HEAD.size, len(long) - 1, len(long), len(long) + HEAD.size):
            host.others.clear()
            host.send_bytes(stream[:cut])
            time.sleep(0.02)
            host.send_bytes(stream[cut:])
            host.await_that(lambda: bool(host.others))
            assert host.others == [(FrameKind.ANSWER, 5, bytes(24))]
