"""The management console's protocol, against a kernel that the test plays."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from hostemu.base.errors import GuestError
from hostemu.guests import mconsole

REQUEST_BYTES = 12 + 512
"""struct mconsole_request of the kernel's source: magic, version, length, text."""

Reply = tuple[int, int, bytes]
"""Error, whether more follows, text."""


@contextmanager
def kernel(path: Path, replies: Callable[[bytes], Sequence[bytes]]) -> Iterator[None]:
    """A kernel that answers each command with these datagrams."""

    def serve(sock: socket.socket) -> None:
        while True:
            asked, sender = sock.recvfrom(4096)
            if not asked:
                return
            magic, version, length = struct.unpack_from("=III", asked)
            assert (magic, version, len(asked)) == (0xCAFEBABE, 2, REQUEST_BYTES)
            for reply in replies(asked[12 : 12 + length]):
                sock.sendto(reply, sender)

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(path))
        thread = threading.Thread(target=serve, args=[sock])
        thread.start()
        try:
            yield
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.sendto(b"", str(path))
            thread.join()
            path.unlink()


def reply(error: int, more: int, text: bytes) -> bytes:
    """struct mconsole_reply."""
    return struct.pack("=iII", error, more, len(text)) + text


def test_a_command_is_answered(tmp_path: Path) -> None:
    with kernel(tmp_path / "mconsole", lambda asked: [reply(0, 0, b"OK " + asked + b"\0")]):
        assert mconsole.request(tmp_path / "mconsole", "stop") == "OK stop"
        assert mconsole.request(tmp_path / "mconsole", "go") == "OK go"
    assert list(tmp_path.iterdir()) == []


def test_a_long_answer_comes_in_parts(tmp_path: Path) -> None:
    parts = [reply(0, 1, b"a" * 511), reply(0, 1, b"b" * 511), reply(0, 0, b"c\0")]
    with kernel(tmp_path / "mconsole", lambda _asked: parts):
        assert mconsole.request(tmp_path / "mconsole", "config") == "a" * 511 + "b" * 511 + "c"


def test_a_refusal_says_why(tmp_path: Path) -> None:
    with (
        kernel(tmp_path / "mconsole", lambda _asked: [reply(1, 0, b"Unknown command\0")]),
        pytest.raises(GuestError, match="refuses 'dance'") as caught,
    ):
        mconsole.request(tmp_path / "mconsole", "dance")
    assert caught.value.found == "Unknown command"


@pytest.mark.parametrize("answers", [[], [b""], [b"short"], [reply(0, 1, b"and then")]])
def test_silence_and_nonsense_are_a_guest_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answers: list[bytes]
) -> None:
    monkeypatch.setattr(mconsole, "PATIENCE_S", 0.1)
    with kernel(tmp_path / "mconsole", lambda _asked: answers):
        began_s = time.monotonic()
        with pytest.raises(GuestError, match="does not answer 'stop'"):
            mconsole.request(tmp_path / "mconsole", "stop")
        assert time.monotonic() - began_s < 2.0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["mconsole", "no/such/folder/mconsole"])
def test_a_guest_that_is_not_there_is_a_guest_that_failed(tmp_path: Path, path: str) -> None:
    with pytest.raises(GuestError, match="does not answer"):
        mconsole.request(tmp_path / path, "stop")
    assert list(tmp_path.iterdir()) == []


def test_several_threads_ask_at_once(tmp_path: Path) -> None:
    said: list[str] = []
    with kernel(tmp_path / "mconsole", lambda asked: [reply(0, 0, asked)]):

        def ask(number: int) -> None:
            said.append(mconsole.request(tmp_path / "mconsole", str(number)))

        askers = [threading.Thread(target=ask, args=[number]) for number in range(8)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
    assert sorted(said) == [str(number) for number in range(8)]
