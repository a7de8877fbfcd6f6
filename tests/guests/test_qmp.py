"""QEMU's machine protocol, against a QEMU that the test plays."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed, GuestError
from hostemu.guests.qmp import Monitor

GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}


class PlayedQemu:
    """Answers commands: `refuse` with an error, `ignore` not at all, `die` by hanging up, others with themselves."""

    def __init__(self, sock: socket.socket, greeting: bytes = json.dumps(GREETING).encode() + b"\r\n") -> None:
        self.heard: list[dict[str, Any]] = []
        self.fds: list[int] = []
        self._sock = sock
        self._greeting = greeting
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        with self._sock:
            try:
                self._sock.sendall(self._greeting)
                while True:
                    data, fds, _, _ = socket.recv_fds(self._sock, 1 << 16, 4)
                    self.fds += fds
                    if not data:
                        return
                    # The client sends an order and waits; a blank goes with a descriptor.
                    if data.strip() and not self._obey(json.loads(data)):
                        return
            except OSError:
                return

    def _obey(self, order: dict[str, Any]) -> bool:
        self.heard.append(order)
        said: dict[str, Any] = {"return": order.get("arguments", {})}
        match order["execute"]:
            case "die":
                return False
            case "ignore":
                return True
            case "refuse":
                said = {"error": {"class": "GenericError", "desc": "I will not"}}
        if "id" in order:
            said["id"] = order["id"]
        self._sock.sendall(json.dumps(said).encode() + b"\r\n")
        return True


@contextmanager
def monitored(*greeting: bytes) -> Iterator[tuple[Monitor, PlayedQemu]]:
    """A monitor and the QEMU at its other end."""
    near, far = socket.socketpair()
    qemu, monitor = PlayedQemu(far, *greeting), Monitor(near, "played")
    try:
        yield monitor, qemu
    finally:
        monitor.close()
        qemu.thread.join(10.0)
        assert not qemu.thread.is_alive(), "the monitor did not hang up"


def soon() -> Deadline:
    """A deadline that only a failure reaches."""
    return Deadline.after(10.0, "QEMU")


def test_commands_have_arguments_and_results() -> None:
    with monitored() as (monitor, qemu):
        assert monitor.execute("set_link", soon(), name="net0", up=False) == {"name": "net0", "up": False}
        assert monitor.execute("cont", soon()) == {}
    assert [order["execute"] for order in qemu.heard] == ["qmp_capabilities", "set_link", "cont"]


def test_a_refusal_is_an_error_with_qemus_words_and_the_monitor_goes_on() -> None:
    with monitored() as (monitor, _qemu):
        with pytest.raises(GuestError, match="does not carry out refuse") as caught:
            monitor.execute("refuse", soon())
        assert caught.value.found == "I will not"
        assert not isinstance(caught.value, CommandFailed)
        assert monitor.execute("cont", soon()) == {}


def test_no_answer_in_time_is_an_error_and_the_monitor_goes_on() -> None:
    with monitored() as (monitor, _qemu):
        began_s = time.monotonic()
        with pytest.raises(GuestError) as caught:
            monitor.execute("ignore", Deadline.after(0.1, "an answer"))
        assert caught.value.found == "no answer in time"
        assert time.monotonic() - began_s < 5.0
        assert monitor.execute("cont", soon()) == {}


def test_a_qemu_that_hangs_up_is_an_error_at_once_and_remains_one() -> None:
    with monitored() as (monitor, _qemu):
        for _ in range(2):
            began_s = time.monotonic()
            with pytest.raises(GuestError):
                monitor.execute("die", soon())
            assert time.monotonic() - began_s < 5.0


@pytest.mark.parametrize("greeting", [b"", b"qemu: could not load kernel\n", b'{"hello": 1}\n'])
def test_what_is_no_greeting_is_an_error(greeting: bytes) -> None:
    with monitored(greeting) as (monitor, _qemu), pytest.raises(GuestError):
        monitor.execute("cont", Deadline.after(0.5, "a greeting"))


def test_a_descriptor_is_handed_over_under_its_name(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("saved")
    with monitored() as (monitor, qemu):
        fd = os.open(tmp_path / "state", os.O_RDONLY)
        monitor.give_fd(fd, "state", soon())
        os.close(fd)
        assert qemu.heard[-1]["execute"] == "getfd"
        assert qemu.heard[-1]["arguments"] == {"fdname": "state"}
        (theirs,) = qemu.fds
        with os.fdopen(theirs) as file:
            assert file.read() == "saved"


def test_hanging_up_leaves_nothing_however_often_and_whenever() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with monitored() as (monitor, _qemu):
        monitor.execute("cont", soon())
    before = descriptors()
    for commands in ([], ["cont"], ["refuse"], ["die"], ["cont", "die"]):
        with monitored() as (monitor, _qemu):
            for command in commands:
                try:
                    monitor.execute(command, soon())
                except GuestError:
                    continue
            monitor.close()
            monitor.close()
        assert descriptors() == before, commands
