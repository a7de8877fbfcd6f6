"""Guests that are network namespaces: the host's kernel, a network stack of their own."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from io import FileIO
from pathlib import Path

from hostemu.base.deadline import Deadline
from hostemu.base.errors import CommandFailed, GuestError, InputError
from hostemu.guests.api import (
    STOP_S,
    Backend,
    Cable,
    Finished,
    Guest,
    GuestProcess,
    GuestSpec,
    HostInterface,
    NicSpec,
    Preparation,
    Probe,
    Usage,
    command_failed,
    inner_path,
    traffic,
)
from hostemu.guests.processes import NO_SUCH_PROGRAM, NamespaceProcess, NamespaceProgram, signal_all
from hostemu.lab import NetNamespace, Nic, nic_kind


class NetnsGuest(Guest):
    """One namespace with its NICs and programs."""

    def __init__(self, spec: GuestSpec, workdir: Path, site: NetNamespace | None = None) -> None:
        self.spec = spec
        self._workdir = workdir
        self._site = site
        self._namespace: NetNamespace | None = None
        self._nics: dict[str, Nic] = {}
        self._programs: list[NamespaceProcess] = []
        self._ended_cpu_s = 0.0

    def start(self, deadline: Deadline) -> None:
        if self._namespace is not None:
            raise GuestError(f"guest {self.spec.name} is running already")
        self._workdir.mkdir(parents=True, exist_ok=True)
        try:
            self._namespace = NetNamespace()
            self._set_up(self._namespace)
        except OSError as error:
            self.stop()
            raise GuestError(f"guest {self.spec.name} cannot be started", found=str(error)) from error
        except BaseException:
            self.stop()
            raise

    def _set_up(self, namespace: NetNamespace) -> None:
        if self.spec.sysctls:
            namespace.set_sysctls(self.spec.sysctls)
        for nic in self.spec.nics:
            self._nics[nic.name] = opened = self._open_nic(namespace, nic)
            namespace.configure(opened, **nic.settings)

    def _open_nic(self, namespace: NetNamespace, nic: NicSpec) -> Nic:
        if not isinstance(nic.wire, HostInterface) or self._site is None:
            return namespace.open_nic(nic.name, nic.mac, nic.mtu)
        far = nic.wire.far
        own, other = namespace.open_pair((nic.name, nic.mac), self._site, (far.name, far.mac), nic.mtu)
        self._site.configure(other, **far.settings)
        return own

    @property
    def namespace(self) -> NetNamespace:
        """The running guest's network namespace."""
        return self._running()

    def wait_ready(self, deadline: Deadline) -> None:
        """The guest's kernel answers with all its addresses."""
        namespace = self._running()
        wanted = {
            (self._nics[nic.name].index, address.partition("/")[0])
            for nic in self.spec.nics
            for address in nic.addresses
        }
        deadline.wait_until(lambda: wanted <= namespace.addresses())

    def spawn(
        self, argv: Sequence[str], *, env: Mapping[str, str] | None = None, log: Path | None = None
    ) -> GuestProcess:
        namespace = self._running()
        try:
            program = NamespaceProcess(namespace, argv, env, log, self._workdir)
        except OSError as error:
            raise CommandFailed(f"guest {self.spec.name} cannot start {argv[0]}", found=str(error)) from error
        self._forget_ended()
        self._programs.append(program)
        return program

    def _forget_ended(self) -> None:
        """Keep of the programs that have ended but their CPU time."""
        for program in [known for known in self._programs if known.poll() is not None]:
            self._ended_cpu_s += program.usage().cpu_s
            self._programs.remove(program)

    def run(
        self,
        argv: Sequence[str],
        *,
        deadline: Deadline,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        check: bool = True,
    ) -> Finished:
        finished = self._finish(self._running(), argv, env, stdin, deadline)
        if check and finished.exit_status:
            raise command_failed(self.spec.name, finished)
        return finished

    def _finish(
        self,
        namespace: NetNamespace,
        argv: Sequence[str],
        env: Mapping[str, str] | None,
        stdin: bytes,
        deadline: Deadline,
    ) -> Finished:
        with ExitStack() as stack:
            given, out, err = (stack.enter_context(_memory_file(name)) for name in ("stdin", "stdout", "stderr"))
            given.write(stdin)
            given.seek(0)
            try:
                program = NamespaceProgram(namespace, argv, env, self._workdir, stdin=given, stdout=out, stderr=err)
            except OSError as error:
                return Finished(tuple(argv), NO_SUCH_PROGRAM, b"", str(error).encode())
            stack.callback(program.end)
            status = program.wait(deadline)
            self._ended_cpu_s += program.usage().cpu_s
            return Finished(tuple(argv), status, _content(out), _content(err))

    def put(self, local: Path, remote: str) -> None:
        self._copy(lambda: shutil.copy(local, self._workdir / inner_path(remote)))

    def get(self, remote: str, local: Path) -> None:
        self._copy(lambda: shutil.copy(self._workdir / inner_path(remote), local))

    def _copy(self, copy: Callable[[], object]) -> None:
        self._running()
        try:
            copy()
        except OSError as error:
            raise CommandFailed(f"cannot copy for guest {self.spec.name}", found=str(error)) from error

    def nic_fd(self, name: str) -> int:
        nic = self._nic(name)
        if nic.fd < 0:
            raise InputError(f"NIC {name!r} of guest {self.spec.name} is no port", expected="a NIC on a cable")
        return nic.fd

    def _nic(self, name: str) -> Nic:
        self._running()
        if name not in self._nics:
            raise InputError(f"guest {self.spec.name} has no NIC {name!r}", expected=", ".join(self._nics))
        return self._nics[name]

    def set_link(self, name: str, *, up: bool) -> None:
        """A lowered interface loses its routes; raising it again gives them back."""
        namespace, nic = self._running(), self._nic(name)
        namespace.set_link(nic, up=up)
        if up:
            spec = next(spec for spec in self.spec.nics if spec.name == name)
            namespace.configure(nic, **spec.link_settings)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        self._running()
        signal_all(self._pids, number)

    def _pids(self) -> list[int]:
        return [pid for program in self._programs for pid in program.pids()]

    def host_pids(self) -> list[int]:
        """Those of its programs; the namespace itself is no process."""
        self._running()
        return self._pids()

    def usage(self) -> Usage:
        namespace = self._running()
        used = [program.usage() for program in self._programs]
        cpu_s = self._ended_cpu_s + sum(item.cpu_s for item in used)
        counters = namespace.call(Path("/proc/thread-self/net/dev").read_text)
        rss_bytes = sum(item.rss_bytes for item in used)
        return Usage(cpu_s=cpu_s, rss_bytes=rss_bytes, **traffic(counters, set(self._nics)))

    def stop(self, grace_s: float = STOP_S) -> None:
        for program in self._programs:
            program.stop(grace_s)
        self._programs.clear()
        self._nics.clear()
        if self._namespace is not None:
            self._namespace.close()
            self._namespace = None

    def _running(self) -> NetNamespace:
        if self._namespace is None:
            raise GuestError(f"guest {self.spec.name} is not running")
        return self._namespace


def _memory_file(name: str) -> FileIO:
    return FileIO(os.memfd_create(name), "r+")


def _content(file: FileIO) -> bytes:
    # The program's descriptor and ours share one position: read from the start without moving it.
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)


class NetnsBackend(Backend):
    """Network namespaces of the running kernel."""

    name = "netns"
    wires = (Cable, HostInterface)

    def probe(self) -> Probe:
        try:
            with NetNamespace() as namespace:
                nic = namespace.open_nic("probe0", "02:00:00:00:00:01")
                namespace.configure(nic, addresses=["10.0.0.2/30"])
        except OSError as error:
            return Probe(False, str(error), "run as root, or allow user namespaces")
        return Probe(True, f"namespaces with {nic_kind()} interfaces")

    def create(self, spec: GuestSpec, workdir: Path, site: NetNamespace | None = None) -> NetnsGuest:
        self.check_wires(spec, site)
        return NetnsGuest(spec, workdir, site)

    def identity(self) -> dict[str, str]:
        return {"kernel": os.uname().release, "nic": nic_kind()}

    def preparation(self) -> Preparation:
        """Nothing: the kernel has all of it."""
        return Preparation()
