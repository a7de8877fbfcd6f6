"""Guests joined to each other and to the host in every way, tried out inside a lab: functions of (argument, emit)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from hostemu.base.deadline import Deadline
from hostemu.guests import Guest, GuestSpec, NicSpec, backend
from hostemu.guests.api import HostInterface, Multicast, SwitchPort, Wire
from hostemu.guests.switch_daemon import SwitchDaemon
from hostemu.lab import NetNamespace

Emit = Callable[[dict[str, Any]], None]
PING = ["ping", "-c", "3", "-W", "5"]


def soon() -> Deadline:
    """A deadline that only a failure reaches."""
    return Deadline.after(30.0, "the guests")


def _spec(number: int, wire: Wire) -> GuestSpec:
    nic = NicSpec("eth0", f"02:00:00:00:01:{number:02x}", addresses=(f"10.1.0.{number}/24",), wire=wire)
    return GuestSpec(f"guest-{number}", (nic,), memory_bytes=48 << 20)


def _start(name: str, spec: GuestSpec, folder: str, site: NetNamespace, stack: ExitStack) -> Guest:
    guest = stack.enter_context(backend(name).create(spec, Path(folder, spec.name), site))
    guest.start(soon())
    guest.wait_ready(soon())
    return guest


def host_interface(argument: dict[str, str], _emit: Emit) -> dict[str, Any]:
    """Host ↔ guest over a TAP (thesis, figure 1)."""
    far = NicSpec("host0", "02:00:00:00:01:01", addresses=("10.1.0.1/24",))
    with ExitStack() as stack:
        site = stack.enter_context(NetNamespace())
        guest = _start(argument["backend"], _spec(2, HostInterface(far)), argument["folder"], site, stack)
        pinged = guest.run([*PING, "10.1.0.1"], deadline=soon()).exit_status
        listener = stack.enter_context(site.call(lambda: socket.create_server(("10.1.0.1", 4000))))
        listener.settimeout(10)
        talker = stack.enter_context(guest.spawn(["nc", "10.1.0.1", "4000"]))
        talker.stdin.write(b"hello\n")
        connection, peer = listener.accept()
        with connection:
            connection.settimeout(10)
            return {"ping": pinged, "peer": peer[0], "heard": connection.recv(100).decode()}


def _among(argument: dict[str, str], site: NetNamespace, wire: Wire, stack: ExitStack) -> list[int]:
    """Exit status of pings in a ring of three guests, of the backends that the argument names."""
    names = argument["backends"].split(",")
    numbers = range(1, len(names) + 1)
    guests = [
        _start(name, _spec(number, wire), argument["folder"], site, stack)
        for name, number in zip(names, numbers, strict=True)
    ]
    return [
        guest.run([*PING, f"10.1.0.{number % len(names) + 1}"], deadline=soon(), check=False).exit_status
        for guest, number in zip(guests, numbers, strict=True)
    ]


def multicast(argument: dict[str, str], _emit: Emit) -> list[int]:
    """Guest ↔ guest over multicast sockets (thesis, figure 2)."""
    with ExitStack() as stack:
        site = stack.enter_context(NetNamespace())
        site.allow_multicast()
        return _among(argument, site, Multicast(), stack)


def switch(argument: dict[str, str], _emit: Emit) -> list[int]:
    """Guest ↔ guest over a switch daemon."""
    with ExitStack() as stack:
        site = stack.enter_context(NetNamespace())
        daemon = stack.enter_context(SwitchDaemon(site, 16))
        return _among(argument, site, SwitchPort(daemon.control), stack)
