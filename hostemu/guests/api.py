"""What every kind of guest can do.

A guest is created, started, waited for, used, stopped; it is a context manager that stops it.  GuestError means that
the guest has failed; CommandFailed, that the guest lives and a command in it failed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import IO, Self

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed, DeadlineExceeded, InputError
from hostemu.guests.nics import Cable, HostInterface, Multicast, NicSpec, SwitchPort, Wire, traffic
from hostemu.lab import NetNamespace

__all__ = [
    "HANG_UP_S",
    "STOP_S",
    "Backend",
    "Cable",
    "Finished",
    "Guest",
    "GuestProcess",
    "GuestSpec",
    "HostInterface",
    "Multicast",
    "NicSpec",
    "Preparation",
    "Probe",
    "ProcessUsage",
    "SwitchPort",
    "Usage",
    "Wire",
    "command_failed",
    "inner_path",
    "traffic",
]

STOP_S = 5.0
HANG_UP_S = 0.5
"""What a program may take to end by itself once its input has ended."""


@dataclass(frozen=True)
class GuestSpec:
    """A guest to be made.

    sysctls: set where possible.  The rest is for guests with a kernel of their own:
    memory_bytes: what it believes to have.
    kernel: a kernel's file; None: the best that this machine has.
    shell: whether it has a shell and small commands (busybox), which take 2 MB of its memory.
    programs: commands of this machine that it must have, too, with the libraries that they need.
    files: other programs and files that it must have: path in the guest → file here.
    is_copy: it may start as a copy of another that has booted, which is quicker and takes less memory.
    shares: a folder of the host's that its programs write in; they then see the host's whole file system, read-only
        but for this folder, in the place of the guest's own; /run is its own, and where temporary files go.
    """

    name: str
    nics: tuple[NicSpec, ...] = ()
    memory_bytes: int = 32 << 20
    sysctls: Mapping[str, str] = field(default_factory=dict)
    kernel: Path | None = None
    shell: bool = True
    programs: tuple[str, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    is_copy: bool = False
    shares: Path | None = None


@dataclass(frozen=True)
class Usage:
    """What a guest has used so far, of this machine.

    cpu_s: user and system time of its programs, ended ones included, or of the whole guest if it has a kernel.
    rss_bytes: resident memory, shared pages in full, of its living programs or of the whole guest.
    rx, tx: traffic of its NICs, as the guest's own kernel counted it.
    """

    cpu_s: float
    rss_bytes: int
    rx_bytes: int
    tx_bytes: int
    rx_frames: int
    tx_frames: int


@dataclass(frozen=True)
class Finished:
    """A command that has ended.  exit_status: 128 + number after a signal."""

    argv: tuple[str, ...]
    exit_status: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True)
class Probe:
    """Whether a backend works here, found by trying; the reason, and what to do if not."""

    usable: bool
    reason: str
    fix: str = ""


@dataclass(frozen=True)
class Preparation:
    """What has to be done on a host once, before the first guest of a backend can start.

    packages: of the system.  commands: as a user types them.  reason: why it is not told, if it is not.
    """

    packages: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class ProcessUsage:
    """What a program and its descendants have used so far.  maxrss_bytes: the peak of the largest of them."""

    cpu_s: float = 0.0
    rss_bytes: int = 0
    maxrss_bytes: int = 0


class GuestProcess(ABC):
    """A program that runs in a guest; a context manager that stops it."""

    stdin: IO[bytes]
    stdout: IO[bytes]

    @abstractmethod
    def poll(self) -> int | None:
        """The exit status, None while it runs."""

    @abstractmethod
    def wait(self, deadline: Deadline) -> int:
        """The exit status, once it has ended; DeadlineExceeded if it does not."""

    @abstractmethod
    def terminate(self) -> None:
        """Ask it to end (SIGTERM); harmless when it has ended."""

    @abstractmethod
    def kill(self) -> None:
        """End it and all its descendants (SIGKILL); harmless when it has ended."""

    @abstractmethod
    def usage(self) -> ProcessUsage:
        """What it has used until now, or until its end."""

    def stop(self, grace_s: float = STOP_S) -> int:
        """The ladder: close its input, SIGTERM, SIGKILL; returns the exit status.  Again is harmless."""
        with suppress(BrokenPipeError):
            self.stdin.close()
        for step, patience_s in ((self.poll, HANG_UP_S), (self.terminate, grace_s), (self.kill, grace_s)):
            step()
            if self._ends_within(min(patience_s, grace_s)):
                break
        return self.wait(Deadline.after(grace_s, "a killed program to be gone"))

    def _ends_within(self, seconds: float) -> bool:
        try:
            self.wait(Deadline.after(seconds, "the program to end"))
        except DeadlineExceeded:
            return False
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Guest(ABC):
    """One emulated host.

    Every method but start and stop raises GuestError when the guest is not running.
    """

    spec: GuestSpec

    @abstractmethod
    def start(self, deadline: Deadline) -> None:
        """Begin to start; GuestError when it cannot."""

    @abstractmethod
    def wait_ready(self, deadline: Deadline) -> None:
        """Wait for an answer from the guest; GuestError when it died meanwhile."""

    @abstractmethod
    def spawn(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None
    ) -> GuestProcess:
        """Start a program; env: added to the guest's own.  log: a file of the host's for its standard error."""

    @abstractmethod
    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        check: bool = True,
    ) -> Finished:
        """Run a command to its end; with check, CommandFailed when its exit status is not 0."""

    @abstractmethod
    def put(self, local: Path, remote: str) -> None:
        """Copy a file of the host's below the guest's own folder; InputError when it leads out of there."""

    @abstractmethod
    def get(self, remote: str, local: Path) -> None:
        """Copy a file of the guest's out; CommandFailed when there is none."""

    @abstractmethod
    def nic_fd(self, name: str) -> int:
        """Where the frames of a NIC are read and written: a port for the emulator."""

    @abstractmethod
    def set_link(self, name: str, *, up: bool) -> None:
        """Plug a NIC's cable in or out."""

    @abstractmethod
    def pause(self) -> None:
        """Stop everything in the guest, until resume."""

    @abstractmethod
    def resume(self) -> None:
        """Let everything go on."""

    @abstractmethod
    def usage(self) -> Usage:
        """What the guest has used so far."""

    @property
    def sees_host_files(self) -> bool:
        """Whether its programs can be those of this machine, under the same paths."""
        return True

    def host_pids(self) -> list[int]:
        """The host's processes that make up the guest, by their numbers in /proc; maybe none."""
        return []

    def clock_offset_ns(self) -> int:
        """The guest's monotonic clock minus this process'; 0 where they are the same."""
        return 0

    @abstractmethod
    def stop(self, grace_s: float = STOP_S) -> None:
        """End all programs, then the guest; nothing of it is left.  Again is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def inner_path(remote: str) -> PurePosixPath:
    """The path of a file below a guest's own folder; InputError when it leads out of there."""
    path = PurePosixPath(remote)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise InputError("not a file of a guest's own", expected="a relative path without ..", found=repr(remote))
    return path


def command_failed(guest: str, finished: Finished) -> CommandFailed:
    """The error of a command that ended badly in a living guest."""
    tail = finished.stderr.decode(errors="replace").strip().splitlines()[-3:]
    return CommandFailed(
        f"in guest {guest}: {' '.join(finished.argv)}",
        expected="exit status 0",
        found=f"exit status {finished.exit_status}" + "".join(f" | {line}" for line in tail),
    )


class Backend(ABC):
    """A kind of guest.

    wires: what NICs of its guests can be joined to.
    has_own_kernel: its guests have memory, clock and file system of their own, too.
    """

    name: str
    has_own_kernel: bool = False
    wires: tuple[type[Wire], ...] = (Cable,)

    def require(self, kernel: Path | None) -> None:
        """Find what its guests are made of; called outside of any lab, before anything is made.

        kernel: as in GuestSpec.  InputError when it is none, or of no use; HostError when something is missing here.
        """
        if kernel is not None:
            raise InputError(f"{self.name} guests have no kernel of their own", found=str(kernel))

    @abstractmethod
    def probe(self) -> Probe:
        """Whether it works here, found by trying.  Must be called inside a lab."""

    @abstractmethod
    def create(self, spec: GuestSpec, workdir: Path, site: NetNamespace | None = None) -> Guest:
        """A guest that is not started yet; workdir: a folder for its files, made when it starts.

        site: the host's namespace that its wires lead to, where they lead to one.
        InputError for a wire that guests of this kind cannot have.
        """

    def check_wires(self, spec: GuestSpec, site: NetNamespace | None) -> None:
        """InputError for a wire that guests of this kind cannot have, or that lacks a site."""
        for nic in spec.nics:
            kind = type(nic.wire)
            if kind not in self.wires:
                known = ", ".join(wire.__name__ for wire in self.wires)
                raise InputError(
                    f"NIC {nic.name} of a {self.name} guest cannot be joined to a {kind.__name__}",
                    expected=known,
                    found=kind.__name__,
                )
            if kind in (HostInterface, Multicast, SwitchPort) and site is None:
                raise InputError(
                    f"NIC {nic.name} of guest {spec.name} has no site", expected="a namespace", found="none"
                )

    def identity(self) -> dict[str, str]:
        """What its guests are made of (versions, checksums): figures are pooled only where that is the same."""
        return {}

    def preparation(self) -> Preparation:
        """What has to be done once, before its first guest can start."""
        return Preparation(reason=f"backend {self.name} does not tell")
