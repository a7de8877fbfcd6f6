"""Namespaces and NICs, tried out inside a lab: functions of (argument, emit)."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.lab import NetNamespace, Nic, nic_kind

Emit = Callable[[dict[str, Any]], None]
TRANSFER_BYTES = 8 << 20
FRAME_BYTES = 10 + 14 + (64 << 10)
WAIT_S = 10.0


class Cable:
    """Two NICs joined by a thread that copies frames; `largest` of each direction, header included."""

    def __init__(self, first: Nic, second: Nic) -> None:
        self.largest = {first.fd: 0, second.fd: 0}
        self._other = {first.fd: second.fd, second.fd: first.fd}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._copy)

    def __enter__(self) -> Cable:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _copy(self) -> None:
        poller = select.poll()
        for fd in self._other:
            poller.register(fd, select.POLLIN)
        while not self._stop.is_set():
            for fd, _ in poller.poll(20):
                self._drain(fd)

    def _drain(self, fd: int) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                frame = os.read(fd, FRAME_BYTES)
                self.largest[fd] = max(self.largest[fd], len(frame))
                os.write(self._other[fd], frame)


def _host(stack: ExitStack, number: int, kind: str) -> tuple[NetNamespace, Nic]:
    namespace = stack.enter_context(NetNamespace())
    nic = namespace.open_nic("eth0", f"02:00:00:00:00:0{number}", kind=kind)
    other = 3 - number
    namespace.configure(
        nic,
        addresses=[f"10.0.0.{number}/24", f"fd00::{number}/64"],
        routes=[("0.0.0.0/0", f"10.0.0.{other}"), ("::/0", f"fd00::{other}")],
        local_prefixes=[f"10.9.{number}.0/24", f"fd09:{number}::/64"],
        neighbours=[(f"10.0.0.{other}", f"02:00:00:00:00:0{other}")],
    )
    return namespace, nic


def _receive_all(server: socket.socket, received: list[int]) -> None:
    connection = server.accept()[0]
    with connection:
        connection.settimeout(WAIT_S)
        while data := connection.recv(1 << 20):
            received.append(len(data))


def _transfer(sender: NetNamespace, receiver: NetNamespace, address: str) -> int:
    """Bytes that arrived of TRANSFER_BYTES sent by TCP to `address`."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    received: list[int] = []
    anywhere = "::" if ":" in address else "0.0.0.0"
    server = receiver.call(lambda: socket.create_server((anywhere, 0), family=family))
    with server:
        server.settimeout(WAIT_S)
        thread = threading.Thread(target=_receive_all, args=(server, received))
        thread.start()
        target = address, server.getsockname()[1]
        with sender.call(lambda: socket.create_connection(target, timeout=WAIT_S)) as client:
            client.sendall(b"x" * TRANSFER_BYTES)
        thread.join()
    return sum(received)


def tcp(kind: str, _emit: Emit) -> dict[str, Any]:
    """TCP between two namespaces: to their addresses and to those of their local prefixes, both ways."""
    with ExitStack() as stack:
        (one, nic_1), (two, nic_2) = (_host(stack, number, kind) for number in (1, 2))
        cable = stack.enter_context(Cable(nic_1, nic_2))
        arrived = {
            address: _transfer(sender, receiver, address)
            for address, sender, receiver in (
                ("10.0.0.1", two, one),
                ("10.0.0.2", one, two),
                ("fd00::2", one, two),
                ("10.9.1.77", two, one),
                ("fd09:2::abcd", one, two),
            )
        }
        return {"arrived": arrived, "largest": list(cable.largest.values()), "kinds": [nic_1.kind, nic_2.kind]}


def default_kind(_argument: Any, _emit: Emit) -> str:
    """The kind of NIC that is taken when none is asked for."""
    with NetNamespace() as namespace:
        assert nic_kind() == namespace.open_nic("eth0", "02:00:00:00:00:01").kind
    return nic_kind()


def open_descriptors() -> set[str]:
    """The numbers of this process's open descriptors."""
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def silence(kind: str, _emit: Emit) -> int:
    """How many frames a new NIC, without IPv6 addresses, sends of its own accord within a second."""
    with NetNamespace() as namespace:
        nic = namespace.open_nic("eth0", "02:00:00:00:00:01", kind=kind)
        namespace.configure(nic, addresses=["10.0.0.2/24"])
        deadline, frames = Deadline.after(1.0, "frames"), 0
        poller = select.poll()
        poller.register(nic.fd, select.POLLIN)
        while deadline.left_s():
            if poller.poll(deadline.left_s() * 1000):
                os.read(nic.fd, FRAME_BYTES)
                frames += 1
        return frames


def settings(values: dict[str, str], _emit: Emit) -> dict[str, Any]:
    """Set these; what was refused, and what the namespace and the lab have then."""
    with NetNamespace() as namespace:
        refused = namespace.set_sysctls(values)
        paths = {name: Path("/proc/sys", *name.split(".")) for name in values if name not in refused}
        inside = namespace.call(lambda: {name: path.read_text().strip() for name, path in paths.items()})
        outside = {name: path.read_text().strip() for name, path in paths.items()}
    return {"refused": list(refused), "inside": inside, "outside": outside}


def refused_route(_argument: Any, _emit: Emit) -> str:
    """The error for a gateway that cannot be reached."""
    with NetNamespace() as namespace:
        nic = namespace.open_nic("eth0", "02:00:00:00:00:01")
        try:
            namespace.configure(nic, addresses=["10.0.0.2/24"], routes=[("0.0.0.0/0", "192.0.2.1")])
        except OSError as error:
            return str(error)
    return "no error"


def _failing_call(number: int) -> Callable[..., Any]:
    """A stand-in for os.open and the like: the real thing `number` times, then EMFILE."""
    calls = iter(range(number))
    real = os.open

    def maybe_open(*arguments: Any, **options: Any) -> int:
        if next(calls, None) is None:
            raise OSError(24, "too many open files")
        return real(*arguments, **options)

    return maybe_open


@contextlib.contextmanager
def _replaced(name: str, function: Callable[..., Any]) -> Iterator[None]:
    real = getattr(os, name)
    setattr(os, name, function)
    try:
        yield
    finally:
        setattr(os, name, real)


def leaks(kind: str, _emit: Emit) -> list[int]:
    """Descriptors left open when the first, second, third … os.open of a namespace with a NIC fails."""
    before = open_descriptors()
    left = []
    for number in range(4):
        with contextlib.suppress(OSError), _replaced("open", _failing_call(number)), NetNamespace() as namespace:
            nic = namespace.open_nic("eth0", "02:00:00:00:00:01", kind=kind)
            namespace.configure(nic, addresses=["10.0.0.2/24"])
        left.append(len(open_descriptors() - before))
    return left


def leaks_after_refusals(kind: str, _emit: Emit) -> int:
    """Descriptors left open after namespaces whose NIC's MAC address, MTU or address the kernel refuses."""
    before = len(open_descriptors())
    for mac, mtu, address in (
        ("01:00:00:00:00:01", 1500, "10.0.0.2/24"),
        ("02:00:00:00:00:01", 1 << 30, "10.0.0.2/24"),
        ("02:00:00:00:00:01", 1500, "224.0.0.1/24"),
    ):
        with contextlib.suppress(Exception), NetNamespace() as namespace:
            nic = namespace.open_nic("eth0", mac, mtu, kind=kind)
            namespace.configure(nic, addresses=[address])
    return len(open_descriptors()) - before
