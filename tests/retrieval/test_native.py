"""The farm program in C as a program: how it is built and started, and how little memory it takes."""

from __future__ import annotations

import resource
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.deadline import Deadline
from hostemu.guests.toolchain import COMPILERS, FLAGS
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import Challenge, Hello, Refusal, Request, encode
from hostemu.retrieval.config import Transport, WhenOff
from hostemu.retrieval.native import SOURCES, farm_program
from tests.retrieval.builds import compile_sources, farm_for_users
from tests.retrieval.harness import ALWAYS_OFF, ALWAYS_ON, Program, farm_config, loopback_block, running
from tests.retrieval.peer import calling, nonce

FARM = "terminals-c"
MANY = 5000
MANY_ADDRESSES = "127.193.0.1"
"""The first of MANY that no other test uses."""

DEVICE = 1


@pytest.mark.parametrize("compiler", COMPILERS)
def test_every_compiler_that_guests_may_be_made_with_makes_it(tmp_path: Path, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"no {compiler}")
    program = tmp_path / "terminals"
    compile_sources(compiler, FLAGS, sorted(SOURCES.glob("*.c")), program)
    assert b"usage" in subprocess.run([program, "--help"], capture_output=True, timeout=10, check=True).stdout


def test_it_is_compiled_once() -> None:
    program = farm_for_users()
    made_ns = program.stat().st_mtime_ns
    assert farm_program() == program
    assert program.stat().st_mtime_ns == made_ns


@pytest.mark.parametrize("arguments", [[], ["a.json", "b.json"]])
def test_it_takes_one_argument(arguments: list[str]) -> None:
    done = subprocess.run([farm_for_users(), *arguments], capture_output=True, timeout=10, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"terminals CONFIG.json" in done.stderr


@pytest.mark.parametrize(("text", "words"), [(b"\xff{}", "not UTF-8"), (b"", "not JSON"), (b"[1]", "an object")])
def test_a_file_that_is_no_configuration_is_told(tmp_path: Path, text: bytes, words: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(text)
    done = subprocess.run([farm_for_users(), path], capture_output=True, timeout=10, check=False)
    assert done.returncode == 2
    assert words in done.stderr.decode()


def test_more_terminals_than_descriptors_are_told(terminals: str, tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running(terminals, farm_config("10.128.0.0", hard), tmp_path) as farm:
        error = farm.wait_for("error")
        assert farm.wait() == 3
    message = (
        f"too few file descriptors for {hard} terminals in one program\n  expected: at least {hard + 200}\n"
        f"  found: {hard}\n  to do: raise the hard limit (ulimit -Hn), or put fewer terminals into a guest"
    )
    assert error == {"event": "error", "kind": "HostError", "message": message}


def peak_bytes(folder: Path, count: int, **settings: Any) -> int:
    """Most memory that a farm had resident, once its power cycles have begun."""
    folder.mkdir()
    with running(FARM, farm_config(MANY_ADDRESSES, count, **settings), folder) as farm:
        farm.wait_for("ready")
        farm.start()
        return int(farm.report()["maxrss_bytes"])


@pytest.mark.parametrize("transport", Transport, ids=lambda transport: str(transport.value))
@pytest.mark.parametrize(
    ("power", "when_off"), [(ALWAYS_OFF, WhenOff.REFUSE), (ALWAYS_ON, WhenOff.REFUSE), (ALWAYS_OFF, WhenOff.SILENT)]
)
def test_a_terminal_that_nobody_talks_to_takes_less_than_200_bytes(
    tmp_path: Path, transport: Transport, power: Any, when_off: WhenOff
) -> None:
    settings = {"transport": transport, "power": power, "when_off": when_off}
    few, many = (peak_bytes(tmp_path / str(count), count, **settings) for count in (1, MANY))
    assert (many - few) / (MANY - 1) < 200


def test_an_exchange_takes_less_than_500_bytes(tmp_path: Path) -> None:
    """The connections of 1000 terminals wait for their Request; the program's memory grows by pages."""
    count = 1000
    with running(FARM, farm_config(MANY_ADDRESSES, count), tmp_path) as farm, ExitStack() as stack:
        farm.wait_for("ready")
        before_bytes = farm.report()["maxrss_bytes"]
        first = int.from_bytes(socket.inet_aton(MANY_ADDRESSES), "big")
        for number in range(count):
            address = socket.inet_ntoa((first + number).to_bytes(4, "big"))
            peer = stack.enter_context(calling(address))
            peer.send(Hello(DEVICE + number, nonce(number)))
            assert isinstance(peer.receive(), Challenge)
        assert (farm.report()["maxrss_bytes"] - before_bytes) / count < 500


@contextmanager
def growing_no_more(farm: Program, spare_bytes: int = 0) -> Iterator[None]:
    """Let the program's address space grow by this much and no more."""
    pages = int(Path(f"/proc/{farm.pid}/statm").read_text().split()[0])
    old = resource.prlimit(farm.pid, resource.RLIMIT_AS)
    resource.prlimit(farm.pid, resource.RLIMIT_AS, (pages * resource.getpagesize() + spare_bytes, old[1]))
    try:
        yield
    finally:
        resource.prlimit(farm.pid, resource.RLIMIT_AS, old)


@pytest.mark.parametrize("spare_bytes", [0, 32 << 10])
def test_without_memory_callers_are_refused_and_later_ones_served(tmp_path: Path, spare_bytes: int) -> None:
    """Every caller sends the beginning of a long message, which has to be kept."""
    address = loopback_block()
    with running(FARM, farm_config(address, 30), tmp_path) as farm:
        farm.wait_for("ready")
        with growing_no_more(farm, spare_bytes), ExitStack() as stack:
            for number in range(120):
                with suppress(ConnectionResetError):
                    peer = stack.enter_context(calling(address.removesuffix("1") + str(1 + number % 30)))
                    peer.sock.sendall(encode(Hello(DEVICE, bytes(16_000)))[:-1])
            Deadline.after(10, "callers without memory").wait_until(lambda: "LOCAL" in farm.report()["refusals"])
        with calling(address) as peer:
            assert len(peer.retrieve(DEVICE, nonce(1))) > 200
        assert farm.stop()["served"] == 1


def test_a_request_is_answered_without_memory(tmp_path: Path) -> None:
    """Only what a peer does not take at once has to be kept."""
    address = loopback_block()
    with running(FARM, farm_config(address, 1, information_bytes=15_000), tmp_path) as farm:
        farm.wait_for("ready")
        with calling(address) as peer, calling(address, buffer_bytes=2048) as slow:
            for one, number in ((peer, 1), (slow, 2)):
                one.send(Hello(DEVICE, nonce(number)))
            requests: list[Request] = [one.request(DEVICE, nonce(number)) for one, number in ((peer, 1), (slow, 2))]
            with growing_no_more(farm):
                for one, request in zip((peer, slow), requests, strict=True):
                    one.send(request)
                assert len(encode(peer.receive() or Refusal(Reason.RESET))) > 15_000
        assert farm.stop()["served"] == 2
