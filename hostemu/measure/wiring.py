"""How a guest's NIC reaches the host: directly, through the emulator, or (the bare host) not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

from hostemu.base.errors import InputError
from hostemu.gine import Engine, Network, realtime_priority
from hostemu.guests import backend as find_backend
from hostemu.guests.api import Backend, Cable, Guest, GuestSpec, HostInterface, NicSpec, Wire
from hostemu.guests.netns import NetnsBackend
from hostemu.lab import NetNamespace
from hostemu.measure.bench import HOST_ADDRESS, NIC, Bench, guest_nic, host_nic
from hostemu.measure.definition import BARE_HOST
from hostemu.measure.host_end import HostEnd
from hostemu.measure.plan import LOOPBACK

LOOPBACK_ADDRESS = "127.0.0.1"
DIRECT, GINE = "direct", "gine"
CABLE = Cable()
GUEST = "guest"


@dataclass(frozen=True)
class Pair:
    """A running guest and the host's side of its NIC; they reach each other."""

    guest: Guest
    host: HostEnd


@dataclass(frozen=True)
class Wanted:
    """The guest that is to be joined with the host.

    programs: that it must be able to run.  files: that it must have: path in the guest → file here.
    prefix: a network whose every address is its own.
    segmentation_offload: of its NIC.
    watch: entered while the guest is made and started, and left once it has answered.
    """

    memory_bytes: int
    programs: tuple[str, ...] = ()
    prefix: str | None = None
    segmentation_offload: bool = True
    files: Mapping[str, Path] = field(default_factory=dict)
    watch: Callable[[], AbstractContextManager[object]] = nullcontext

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The prefix, if there is one."""
        return () if self.prefix is None else (self.prefix,)


def joined(bench: Bench, wanted: Wanted, wiring: str | None = None) -> AbstractContextManager[Pair]:
    """A guest that is joined with the host in this way, or in that of the cell."""
    name = bench.parameters["wiring"] if wiring is None else wiring
    if name not in _WIRINGS:
        raise InputError(f"there is no wiring {name!r}", expected=", ".join(_WIRINGS), found=repr(name))
    return _WIRINGS[name](bench, wanted)


@contextmanager
def _loopback(bench: Bench, wanted: Wanted) -> Iterator[Pair]:
    """Client and server in one namespace."""
    guest = NetnsBackend().create(bench.spec(BARE_HOST, wanted.memory_bytes), bench.folder / BARE_HOST)
    with guest:
        with wanted.watch():
            bench.start(guest)
        yield Pair(guest, HostEnd(guest.namespace, LOOPBACK_ADDRESS, bench.folder))


@contextmanager
def _direct(bench: Bench, wanted: Wanted) -> Iterator[Pair]:
    with ExitStack() as stack:
        namespace = stack.enter_context(NetNamespace())
        with wanted.watch():
            wire = HostInterface(host_nic(*wanted.prefixes))
            guest = bench.backend.create(_spec(bench, wanted, wire), bench.folder / GUEST, namespace)
            bench.start(stack.enter_context(guest))
        yield Pair(guest, HostEnd(namespace, HOST_ADDRESS, bench.folder))


@contextmanager
def _gine(bench: Bench, wanted: Wanted) -> Iterator[Pair]:
    """A line without delay and without limits between two ports."""
    with ExitStack() as stack:
        namespace = stack.enter_context(NetNamespace())
        with wanted.watch():
            guest = bench.backend.create(_spec(bench, wanted), bench.folder / GUEST)
            bench.start(stack.enter_context(guest))
        network = Network(bench.seed)
        near = network.port("host", open_end(namespace, host_nic(*wanted.prefixes)))
        network.connect(network.port(GUEST, guest.nic_fd(NIC)), near)
        engine = stack.enter_context(Engine(network, realtime_priority=realtime_priority()))
        yield Pair(guest, HostEnd(namespace, HOST_ADDRESS, bench.folder))
        engine.check()


def _spec(bench: Bench, wanted: Wanted, wire: Wire = CABLE) -> GuestSpec:
    nic = replace(guest_nic(*wanted.prefixes), wire=wire, segmentation_offload=wanted.segmentation_offload)
    return bench.spec(GUEST, wanted.memory_bytes, (nic,), wanted.programs, wanted.files)


def open_end(namespace: NetNamespace, spec: NicSpec) -> int:
    """A configured NIC of the host's side; where its frames are read and written."""
    nic = namespace.open_nic(spec.name, spec.mac, spec.mtu)
    namespace.configure(nic, **spec.settings)
    return nic.fd


_WIRINGS: dict[str, Callable[[Bench, Wanted], AbstractContextManager[Pair]]] = {
    LOOPBACK: _loopback,
    DIRECT: _direct,
    GINE: _gine,
}


def wirings_of(backend: Backend) -> list[str]:
    """How a guest of this backend can be joined with the host."""
    return [name for name, wire in ((DIRECT, HostInterface), (GINE, Cable)) if wire in backend.wires]


def easiest(bench: Bench) -> str:
    """The wiring with the fewest parts that the backend has."""
    return wirings_of(bench.backend)[0]


def backend_of(name: str) -> Backend:
    """The backend that a cell means; the bare host's programs run in a namespace."""
    return find_backend(NetnsBackend.name if name == BARE_HOST else name)
