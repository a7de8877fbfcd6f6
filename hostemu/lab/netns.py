"""A network namespace held by descriptors only: no process, no file; it ends when they are closed."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from hostemu.lab import kernel, rtnetlink
from hostemu.lab.nic import Nic, check_kind, forget_error, make_pair, nic_kind, open_cable, open_tap, open_veth
from hostemu.lab.rtnetlink import LOOPBACK, RouteSocket

T = TypeVar("T")

MULTICAST = "224.0.0.0/4"

QUIET = {
    f"net.ipv6.conf.{scope}.{name}": value
    for scope in ("all", "default")
    for name, value in (
        ("accept_ra", "0"),
        ("router_solicitations", "0"),
        ("dad_transmits", "0"),
        ("addr_gen_mode", "1"),
    )
}
"""A guest is silent until spoken to, and has only the addresses that it was given.  Linux: networking/ip-sysctl."""


def _in_thread(function: Callable[[], T]) -> T:
    """Call in a thread of its own: a namespace belongs to a thread, and ours must stay where it is."""
    results: list[T] = []
    errors: list[BaseException] = []

    def body() -> None:
        try:
            results.append(function())
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


class NetNamespace:
    """A new network namespace with loopback up; a context manager.

    Raises OSError when the kernel refuses it.
    """

    def __init__(self) -> None:
        self._undo = ExitStack()
        self.fd, self._route = _in_thread(self._create)
        self._undo.callback(os.close, self.fd)
        self._undo.callback(self._route.close)

    @staticmethod
    def _create() -> tuple[int, RouteSocket]:
        kernel.unshare(kernel.CLONE_NEWNET)
        with ExitStack() as undo:
            fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            undo.callback(os.close, fd)
            route = RouteSocket()
            undo.callback(route.close)
            route.request([rtnetlink.set_link(LOOPBACK, up=True)])
            _write_sysctls(QUIET)
            undo.pop_all()
            return fd, route

    def __enter__(self) -> NetNamespace:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close everything; the kernel removes the namespace once nobody uses it.  Again is harmless."""
        self._undo.close()

    def call(self, function: Callable[[], T]) -> T:
        """Call a function inside the namespace."""

        def inside() -> T:
            kernel.setns(self.fd, kernel.CLONE_NEWNET)
            return function()

        return _in_thread(inside)

    def open_nic(self, name: str, mac: str, mtu: int = 1500, kind: str | None = None) -> Nic:
        """An interface in the namespace, up; kind: "tap" or "veth", None: whichever this process can make."""
        if check_kind(kind or nic_kind()) == "tap":
            nic = self.call(lambda: open_tap(name))
        else:
            nic = open_veth(name, self.fd, lambda far: self.call(lambda: socket.if_nametoindex(far)))
        self._undo.callback(os.close, nic.fd)
        self._route.request([rtnetlink.set_link(nic.index, up=False, mac=mac, mtu=mtu)])
        self.set_link(nic, up=True)
        return nic

    def open_cable(self, name: str, mtu: int = 1500) -> Nic:
        """A TAP in the namespace, up, for a virtualiser that runs here; its other end is the Nic's fd.

        OSError where this process cannot make TAPs.
        """
        nic = self.call(lambda: open_cable(name))
        self._undo.callback(os.close, nic.fd)
        self._route.request([rtnetlink.set_link(nic.index, up=True, mtu=mtu)])
        forget_error(nic)
        return nic

    def open_tap(self, name: str, mac: str, mtu: int = 1500) -> Nic:
        """A TAP in the namespace, up, with a MAC address, for a virtualiser that runs here to open by name."""
        nic = self.call(lambda: open_tap(name))
        os.close(nic.fd)  # it persists, as long as the namespace
        self._route.request([rtnetlink.set_link(nic.index, up=False, mac=mac, mtu=mtu)])
        self.set_link(nic, up=True)
        return replace(nic, fd=-1)

    def allow_multicast(self) -> None:
        """Multicast groups are reached, and joined, on the loopback interface."""
        self._route.request([rtnetlink.add_link_route(MULTICAST, LOOPBACK)])

    def open_pair(
        self, own: tuple[str, str], other: NetNamespace, far: tuple[str, str], mtu: int = 1500
    ) -> tuple[Nic, Nic]:
        """Two interfaces, here and in another namespace, up and joined by a cable; own, far: their name and MAC."""
        make_pair(own[0], self.fd, far[0], other.fd)
        ends = []
        for namespace, (name, mac) in ((self, own), (other, far)):
            index = namespace.call(partial(socket.if_nametoindex, name))
            nic = Nic(name, "veth", -1, index)
            namespace._route.request([rtnetlink.set_link(index, up=False, mac=mac, mtu=mtu)])
            namespace.set_link(nic, up=True)
            ends.append(nic)
        return ends[0], ends[1]

    def set_link(self, nic: Nic, *, up: bool) -> None:
        """Raise or lower an interface."""
        self._route.request([rtnetlink.set_link(nic.index, up=up)])
        if up and nic.kind == "cable":
            forget_error(nic)

    def configure(
        self,
        nic: Nic,
        *,
        addresses: Iterable[str] = (),
        neighbours: Iterable[tuple[str, str]] = (),
        routes: Iterable[tuple[str, str]] = (),
        local_prefixes: Iterable[str] = (),
        most_segments: int | None = None,
    ) -> None:
        """Give an interface addresses ("10.0.0.2/30"), neighbours (address, MAC) and routes (prefix, gateway).

        local_prefixes: networks whose every address is the namespace's own.
        most_segments: of TCP in one frame; None: as it is.  OSError when the kernel refuses one.
        """
        self._route.request(
            rtnetlink.configure(
                nic.index,
                addresses=addresses,
                neighbours=neighbours,
                routes=routes,
                local_prefixes=local_prefixes,
                most_segments=most_segments,
            )
        )

    def addresses(self) -> set[tuple[int, str]]:
        """(interface, address) as the namespace's kernel tells them."""
        return self._route.addresses()

    def set_sysctls(self, values: Mapping[str, str]) -> list[str]:
        """Write these of the namespace's settings; returns those that this kernel or user may not set."""
        return self.call(lambda: _write_sysctls(values))

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Start a program inside, as the first of a process namespace of its own: its descendants end with it.

        options: those of subprocess.Popen.  OSError when there is no such program.
        """

        def start() -> subprocess.Popen[bytes]:
            kernel.unshare(kernel.CLONE_NEWPID)
            return subprocess.Popen(argv, **options)

        return self.call(start)


def _write_sysctls(values: Mapping[str, str]) -> list[str]:
    return [name for name, value in values.items() if not _write_sysctl(name, value)]


def _write_sysctl(name: str, value: str) -> bool:
    with suppress(OSError):
        Path("/proc/sys", *name.split(".")).write_text(value)
        return True
    return False
