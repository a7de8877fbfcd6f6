"""A guest in memory, for tests of what uses guests: the whole interface, a few commands, faults on demand."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed, DeadlineExceeded, GuestError, InputError
from hostemu.guests.api import (
    STOP_S,
    Backend,
    Finished,
    Guest,
    GuestProcess,
    GuestSpec,
    Probe,
    ProcessUsage,
    Usage,
    inner_path,
)
from hostemu.lab import NetNamespace

POLL_S = 0.005


@dataclass(frozen=True)
class Faults:
    """What is to go wrong, in guests of these names."""

    fails_to_start: frozenset[str] = frozenset()
    never_ready: frozenset[str] = frozenset()
    dies_when_used: frozenset[str] = frozenset()


class FakeProcess(GuestProcess):
    """A program that runs until its input ends: `cat`, whatever it is called."""

    def __init__(self) -> None:
        read_fd, write_fd = os.pipe()
        self._input = os.fdopen(read_fd, "rb", buffering=0)
        self.stdin = os.fdopen(write_fd, "wb", buffering=0)
        read_fd, write_fd = os.pipe()
        self.stdout = os.fdopen(read_fd, "rb", buffering=0)
        self._output = os.fdopen(write_fd, "wb", buffering=0)
        os.set_blocking(self._input.fileno(), False)
        self._status: int | None = None

    def poll(self) -> int | None:
        if self._status is None:
            data = self._input.read(1 << 16)
            if data:
                self._output.write(data)
            elif data is not None:
                self._end(0)
        return self._status

    def wait(self, deadline: Deadline) -> int:
        deadline.wait_until(lambda: self.poll() is not None, POLL_S)
        return self._status or 0

    def terminate(self) -> None:
        self._end(143)

    def kill(self) -> None:
        self._end(137)

    def usage(self) -> ProcessUsage:
        return ProcessUsage()

    def _end(self, status: int) -> None:
        if self._status is None:
            self._status = status
            self._input.close()
            self._output.close()

    def stop(self, grace_s: float = STOP_S) -> int:
        status = super().stop(grace_s)
        self.stdout.close()
        return status


@dataclass
class FakeGuest(Guest):
    """Its NICs are socket pairs; `far_ends` are what its kernel would have."""

    spec: GuestSpec
    faults: Faults
    files: dict[str, bytes] = field(default_factory=dict)
    far_ends: dict[str, socket.socket] = field(default_factory=dict)
    links_up: dict[str, bool] = field(default_factory=dict)
    paused: bool = False
    _state: str = "created"
    _fds: dict[str, socket.socket] = field(default_factory=dict)
    _programs: list[FakeProcess] = field(default_factory=list)

    def start(self, deadline: Deadline) -> None:
        if self._state == "running":
            raise GuestError(f"guest {self.spec.name} is running already")
        if self.spec.name in self.faults.fails_to_start:
            raise GuestError(f"guest {self.spec.name} cannot be started", found="a fault on demand")
        with ExitStack() as undo:
            undo.callback(self._close)
            for nic in self.spec.nics:
                near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
                near.setblocking(False)
                self._fds[nic.name], self.far_ends[nic.name], self.links_up[nic.name] = near, far, True
            undo.pop_all()
        self._state = "running"

    def wait_ready(self, deadline: Deadline) -> None:
        self._running()
        if self.spec.name in self.faults.never_ready:
            time.sleep(deadline.left_s())
            raise DeadlineExceeded(f"gave up waiting for {deadline.what}")

    def _running(self) -> None:
        if self._state != "running":
            raise GuestError(f"guest {self.spec.name} is not running")

    def _use(self) -> None:
        self._running()
        if self.spec.name in self.faults.dies_when_used:
            self._close()
            raise GuestError(f"guest {self.spec.name} has died", found="a fault on demand")

    def spawn(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None
    ) -> GuestProcess:
        self._use()
        self._programs.append(FakeProcess())
        return self._programs[-1]

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        check: bool = True,
    ) -> Finished:
        self._use()
        finished = Finished(tuple(argv), *self._command(list(argv), env or {}, stdin, deadline))
        if check and finished.exit_status:
            raise CommandFailed(
                f"in guest {self.spec.name}: {' '.join(argv)}",
                expected="exit status 0",
                found=f"exit status {finished.exit_status} | {finished.stderr.decode()}",
            )
        return finished

    def _command(
        self, argv: list[str], env: Mapping[str, str], stdin: bytes, deadline: Deadline
    ) -> tuple[int, bytes, bytes]:
        """What a shell's `echo`, `cat`, `env`, `sleep`, `true` and `false` would do."""
        match argv:
            case ["true"]:
                return 0, b"", b""
            case ["false"]:
                return 1, b"", b""
            case ["echo", *words]:
                return 0, " ".join(words).encode() + b"\n", b""
            case ["cat"]:
                return 0, stdin, b""
            case ["cat", name] if name in self.files:
                return 0, self.files[name], b""
            case ["env"]:
                return 0, "".join(f"{name}={value}\n" for name, value in env.items()).encode(), b""
            case ["sleep", seconds]:
                time.sleep(min(float(seconds), deadline.left_s()))
                if not deadline.left_s():
                    raise DeadlineExceeded(f"gave up waiting for {deadline.what}", found=" ".join(argv))
                return 0, b"", b""
        return 127, b"", f"{argv[0]}: nothing that a fake guest can do".encode()

    def put(self, local: Path, remote: str) -> None:
        self._use()
        self.files[str(inner_path(remote))] = local.read_bytes()

    def get(self, remote: str, local: Path) -> None:
        self._use()
        if remote not in self.files:
            raise CommandFailed(f"cannot copy for guest {self.spec.name}", found=f"no file {remote}")
        local.write_bytes(self.files[remote])

    def nic_fd(self, name: str) -> int:
        self._check_nic(name)
        return self._fds[name].fileno()

    def _check_nic(self, name: str) -> None:
        self._running()
        if name not in self._fds:
            raise InputError(f"guest {self.spec.name} has no NIC {name!r}", expected=", ".join(self._fds))

    def set_link(self, name: str, *, up: bool) -> None:
        self._check_nic(name)
        self.links_up[name] = up

    def pause(self) -> None:
        self._running()
        self.paused = True

    def resume(self) -> None:
        self._running()
        self.paused = False

    def usage(self) -> Usage:
        self._running()
        return Usage(cpu_s=0.0, rss_bytes=0, rx_bytes=0, tx_bytes=0, rx_frames=0, tx_frames=0)

    def stop(self, grace_s: float = STOP_S) -> None:
        self._close()

    def _close(self) -> None:
        self._state = "stopped"
        for program in self._programs:
            program.stop(0.1)
        for end in (*self._fds.values(), *self.far_ends.values()):
            end.close()
        self._programs.clear()
        self._fds.clear()
        self.far_ends.clear()


class FakeBackend(Backend):
    """Makes fake guests.  faults: what is to go wrong."""

    name = "fake"

    def __init__(self, faults: Faults | None = None) -> None:
        self._faults = faults or Faults()

    def probe(self) -> Probe:
        return Probe(True, "in memory")

    def create(self, spec: GuestSpec, workdir: Path, site: NetNamespace | None = None) -> Guest:
        self.check_wires(spec, site)
        return FakeGuest(spec, self._faults)
