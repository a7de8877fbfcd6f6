"""What guests with a kernel of their own have in common: a virtualiser's process, cables, and the agent inside."""

from __future__ import annotations

import itertools
import socket
import subprocess
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed, DeadlineExceeded, GuestError, InputError
from hostemu.guests.api import (
    STOP_S,
    Cable,
    Finished,
    Guest,
    GuestProcess,
    GuestSpec,
    HostInterface,
    NicSpec,
    Usage,
    command_failed,
    inner_path,
    traffic,
)
from hostemu.guests.channel import AgentEndpoint, Channel, FrameKind, answer_soon, strings
from hostemu.guests.image import AGENT, HOST_FOLDER, OWN_FOLDER
from hostemu.guests.processes import NO_SUCH_PROGRAM, NamespaceProgram
from hostemu.guests.programs import AgentProcess, finish
from hostemu.lab import NetNamespace, Nic
from hostemu.lab.rtnetlink import RouteSocket, configure, set_link

FAREWELL_S = 1.0
CONSOLE_TAIL_LINES = 5
_cables = itertools.count()
ENVIRONMENT = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "TERM": "dumb", "LANG": "C.UTF-8"}
VIRTUALISERS_ENVIRONMENT = {"TMPDIR": "/dev/shm", "MALLOC_ARENA_MAX": "1", "G_SLICE": "always-malloc"}
"""Its RAM may be a file, and is to end with the lab; a heap for each thread would take 0.6 MB of memory in QEMU."""

PSEUDO_FILES = (("proc", "proc", "proc"), ("sys", "sys", "sysfs"), ("/dev", "dev", "bind"), ("run", "run", "tmpfs"))
"""What a guest that sees the host's files has of its own: source, folder, type.  Not /tmp: programs may lie there."""


class KernelGuest(Guest):
    """A guest whose kernel runs in a process of this machine, in a network namespace with the far ends of its NICs.

    That namespace is the guest's own, or the site that its wires lead to.  taps: by NIC, the TAP it is joined to.
    """

    line_bytes: int | None = None
    """What may be on its way to the agent; None: whatever the channel takes."""

    def __init__(self, spec: GuestSpec, workdir: Path, site: NetNamespace | None = None) -> None:
        self.spec = spec
        self.workdir = workdir
        self.taps: dict[str, str] = {}
        self._site = site
        self.cables: dict[str, Nic] = {}
        self.console_log = workdir / "console.log"
        self.resources = ExitStack()
        self.handed_over = ExitStack()
        """What is the virtualiser's alone once it runs."""
        self._channel: Channel | None = None
        self._namespace: NetNamespace | None = None
        self._virtualiser: NamespaceProgram | None = None
        self._programs: list[AgentProcess] = []

    @abstractmethod
    def command(self, agent_fd: int) -> tuple[list[str], list[int]]:
        """The virtualiser's command line and the descriptors that it is given; agent_fd: the guest's end."""

    @abstractmethod
    def host_mount(self, folder: str, *, writable: bool) -> tuple[str, str, str]:
        """How a folder of the host's is mounted in the guest: source, type and data of mount(2)."""

    def virtualisers_environment(self) -> dict[str, str]:
        """The variables of the virtualiser's process."""
        return VIRTUALISERS_ENVIRONMENT

    def await_agent(self, channel: Channel, deadline: Deadline) -> None:
        """Wait until the agent answers."""
        channel.wait_ready(deadline)

    def open_channel(self, sock: socket.socket) -> Channel:
        """The channel to the agent, over the host's end of its line."""
        return Channel(sock, self.spec.name, self.line_bytes)

    def boot_macs(self) -> Sequence[str]:
        """The MAC addresses that the NICs boot with."""
        return [nic.mac for nic in self.spec.nics]

    def settle(self, channel: Channel) -> None:
        """Give the guest wall time and randomness: a PC's own clock counts whole seconds, and a copy's is old."""
        channel.reseed(answer_soon("the guest to take a seed"))

    def start(self, deadline: Deadline) -> None:
        if self._virtualiser is not None:
            raise GuestError(f"guest {self.spec.name} is running already")
        with ExitStack() as undo:
            undo.callback(self._close)
            try:
                self._launch()
            except OSError as error:
                raise GuestError(f"guest {self.spec.name} cannot be started", found=str(error)) from error
            undo.pop_all()

    def _launch(self) -> None:
        self.workdir.mkdir(parents=True, exist_ok=True)
        self._namespace = self._site or self.resources.enter_context(NetNamespace())
        for nic in self.spec.nics:
            self._open_far_end(self._namespace, nic)
        near, far = socket.socketpair()
        with far, self.handed_over, ExitStack() as files:
            self._channel = self.open_channel(near)
            self.resources.callback(self._channel.close)
            argv, fds = self.command(far.fileno())
            console = files.enter_context(self.console_log.open("wb"))
            self._virtualiser = NamespaceProgram(
                self._namespace,
                argv,
                self.virtualisers_environment(),
                self.workdir,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                pass_fds=[far.fileno(), *fds],
            )

    def _open_far_end(self, namespace: NetNamespace, nic: NicSpec) -> None:
        match nic.wire:
            case Cable():
                self.taps[nic.name] = f"cable{next(_cables)}"
                self.cables[nic.name] = namespace.open_cable(self.taps[nic.name], nic.mtu)
            case HostInterface(far):
                self.taps[nic.name] = far.name
                interface = namespace.open_tap(far.name, far.mac, far.mtu)
                namespace.configure(interface, **far.settings)

    def wait_ready(self, deadline: Deadline) -> None:
        """The guest's agent answers, and its kernel has taken all settings."""
        channel = self.require_running()
        with self._explained():
            self.await_agent(channel, deadline)
            self.settle(channel)
            self._share_files(channel)
            for name, value in self.spec.sysctls.items():
                with suppress(OSError):
                    path = f"/proc/sys/{name.replace('.', '/')}"
                    channel.checked(FrameKind.WRITE, strings(path) + value.encode(), deadline)
            try:
                self._configure(RouteSocket(AgentEndpoint(channel)), deadline)
            except OSError as error:
                raise GuestError(
                    f"the kernel of guest {self.spec.name} refuses a setting", found=str(error)
                ) from error

    def _share_files(self, channel: Channel) -> None:
        if self.spec.shares is None:
            return
        folder = str(self.spec.shares)
        root, own = self.host_mount("/", writable=False), self.host_mount(folder, writable=True)
        mounts = [
            (root[0], HOST_FOLDER, root[1], "ro", root[2]),
            *((source, f"{HOST_FOLDER}/{name}", kind, "rw", "") for source, name, kind in PSEUDO_FILES),
            (own[0], HOST_FOLDER + folder, own[1], "rw", own[2]),
        ]
        for words in mounts:
            try:
                channel.checked(FrameKind.MOUNT, strings(*words), answer_soon("a mount"))
            except OSError as error:
                raise GuestError(
                    f"guest {self.spec.name} cannot mount {words[1]}",
                    found=str(error),
                    hint="use a kernel that `hostemu kernel build` makes",
                ) from error

    def _configure(self, route: RouteSocket, deadline: Deadline) -> None:
        """Name the NICs, found by their MAC addresses, and give them what the specification says."""
        route.request([set_link(1, up=True)])
        links = {link.mac: link for link in route.links()}
        found = [links[mac] for mac in self.boot_macs() if mac in links]
        if len(found) < len(self.spec.nics):
            raise GuestError(f"guest {self.spec.name} lacks a NIC", found=", ".join(links))
        # One's new name may be that of another until now.
        route.request([set_link(link.index, up=False, name=f"nic{link.index}") for link in found])
        for nic, link in zip(self.spec.nics, found, strict=True):
            settings = set_link(link.index, up=False, mac=nic.mac, mtu=nic.mtu, name=nic.name)
            route.request([settings, set_link(link.index, up=True)])
            route.request(configure(link.index, **nic.settings))
        # The queue of a NIC that has its carrier works from the moment on when it is raised.
        late = {link.index for link in found if not link.has_carrier}
        if late:
            deadline.wait_until(lambda: all(link.is_running for link in route.links() if link.index in late))

    def spawn(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None
    ) -> GuestProcess:
        channel = self.require_running()
        with self._explained():
            try:
                program = AgentProcess(channel, argv, self._environment(env), self._place(), log)
            except OSError as error:
                raise CommandFailed(f"guest {self.spec.name} cannot start {argv[0]}", found=str(error)) from error
        self._programs = [known for known in self._programs if known.poll() is None]
        self._programs.append(program)
        return program

    def _environment(self, env: Mapping[str, str] | None) -> dict[str, str]:
        """What programs find, with additions; temporary files go where there is room for them."""
        own = {} if self.spec.shares is None else {"TMPDIR": "/run"}
        return {**ENVIRONMENT, **own, **(env or {})}

    def _place(self) -> tuple[str, str]:
        """Folder and root of the guest's programs."""
        return (OWN_FOLDER, "") if self.spec.shares is None else (str(self.spec.shares), HOST_FOLDER)

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        check: bool = True,
    ) -> Finished:
        finished = self._finish(argv, env, stdin, deadline, self._place())
        if check and finished.exit_status:
            raise command_failed(self.spec.name, finished)
        return finished

    def _finish(
        self,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        stdin: bytes,
        deadline: Deadline,
        place: tuple[str, str],
    ) -> Finished:
        channel = self.require_running()
        with self._explained():
            try:
                return finish(channel, argv, self._environment(env), place, stdin, deadline)
            except OSError as error:
                return Finished(tuple(argv), NO_SUCH_PROGRAM, b"", str(error).encode())

    def put(self, local: Path, remote: str) -> None:
        target = str(inner_path(remote))
        try:
            content = local.read_bytes()
        except OSError as error:
            raise CommandFailed(f"cannot copy for guest {self.spec.name}", found=str(error)) from error
        self._copy("put", target, content)

    def get(self, remote: str, local: Path) -> None:
        content = self._copy("get", str(inner_path(remote)), b"")
        local.write_bytes(content)

    def _copy(self, way: str, name: str, content: bytes) -> bytes:
        """Have the agent copy between a file of the guest's own and its standard input or output."""
        argv = [AGENT, way, name]
        done = self._finish(argv, None, content, answer_soon(f"{name} to be copied"), (OWN_FOLDER, ""))
        if done.exit_status:
            said = done.stderr.decode(errors="replace").strip()
            raise CommandFailed(f"cannot copy for guest {self.spec.name}", found=said)
        return done.stdout

    def nic_fd(self, name: str) -> int:
        return self.cable(name).fd

    def cable(self, name: str) -> Nic:
        """The cable of a NIC; InputError when there is none of that name."""
        self.require_running()
        if name not in self.cables:
            expected = ", ".join(self.cables) or "a NIC on a cable"
            raise InputError(f"guest {self.spec.name} has no NIC {name!r} that is a port", expected=expected)
        return self.cables[name]

    def set_link(self, name: str, *, up: bool) -> None:
        """A cable that is out carries nothing; the guest's kernel keeps its addresses and routes."""
        cable = self.cable(name)
        if self._namespace is not None:
            self._namespace.set_link(cable, up=up)

    def usage(self) -> Usage:
        channel = self.require_running()
        with self._explained():
            try:
                said = channel.checked(FrameKind.READ, b"/proc/net/dev", answer_soon("the guest's counters"))
            except OSError as error:
                raise GuestError(f"guest {self.spec.name} has no counters", found=str(error)) from error
        used = self.virtualiser.usage()
        return Usage(used.cpu_s, used.rss_bytes, **traffic(said.decode(), {nic.name for nic in self.spec.nics}))

    def clock_offset_ns(self) -> int:
        with self._explained():
            return self.require_running().clock_offset_ns(answer_soon("the guest's clock"))

    @property
    def sees_host_files(self) -> bool:
        return self.spec.shares is not None

    def host_pids(self) -> list[int]:
        return [] if self._virtualiser is None else self._virtualiser.pids()

    @property
    def virtualiser(self) -> NamespaceProgram:
        """The process that the guest's kernel runs in; GuestError when the guest is not running."""
        self.require_running()
        if self._virtualiser is None:
            raise GuestError(f"guest {self.spec.name} is not running")
        return self._virtualiser

    def kill(self) -> None:
        """End it at once; harmless again."""
        self._close()

    def stop(self, grace_s: float = STOP_S) -> None:
        """End its programs, ask it to end, kill it."""
        if self._channel is not None and self._channel.is_open:
            with suppress(GuestError, DeadlineExceeded):  # one that does not answer, or is paused, is asked once only
                for program in self._programs:
                    program.stop(min(grace_s, FAREWELL_S))
                self._channel.send(FrameKind.END, 0)
                if self._virtualiser is not None:
                    self._virtualiser.wait(Deadline.after(min(grace_s, FAREWELL_S), "the guest to end"))
        self._close()

    def _close(self) -> None:
        if self._virtualiser is not None:
            self._virtualiser.end()
            self._virtualiser = None
        if self._channel is not None:
            self._channel.close()
        for program in self._programs:
            program.stop(0.0)  # it is over: nobody answers for it any more
        self._programs.clear()
        self.resources.close()
        self._channel, self._namespace = None, None
        self.cables.clear()
        self.taps.clear()

    def require_running(self) -> Channel:
        """The channel to its agent; GuestError when the guest is not running."""
        if self._channel is None:
            raise GuestError(f"guest {self.spec.name} is not running")
        return self._channel

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Tell of a guest that has died what its console said last; a command that failed is none of that."""
        try:
            yield
        except CommandFailed:
            raise
        except GuestError as error:
            if self._channel is None or self._channel.is_open:
                raise
            status = None if self._virtualiser is None else self._virtualiser.poll()
            raise GuestError(
                f"guest {self.spec.name} has died",
                expected="a running guest",
                found=self._last_words() or f"exit status {status}, and nothing on its console",
                log=self.console_log,
            ) from error

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = self.console_log.read_text(errors="replace").strip().splitlines()
            return " | ".join(lines[-CONSOLE_TAIL_LINES:])
        return ""
