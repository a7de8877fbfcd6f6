"""Hosts for the tests: a network namespace each, with one TAP whose file descriptor is the emulator's side.

A namespace lives as long as its file descriptor, so that nothing is left once a test ends, however it ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import struct
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

import pytest

CLONE_NEWNET = 0x40000000
TUNSETIFF, TUNSETOFFLOAD = 0x400454CA, 0x400454D0
IFF_TAP, IFF_NO_PI, IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
OFFLOADS = 0x01 | 0x02 | 0x04 | 0x08  # TUN_F_CSUM, TSO4, TSO6, TSO_ECN
UDP_OFFLOADS = 0x20 | 0x40  # TUN_F_USO4, USO6; Linux 6.2 and later

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), what)


def reason_not_to_run() -> str | None:
    """Why namespaces and TAPs cannot be made here, or None."""
    try:
        with Host("probe", []):
            return None
    except OSError as error:
        return f"cannot make a namespace with a TAP: {error}"


class Host:
    """A namespace with the interface eth0 on a TAP; `fd` carries its frames."""

    def __init__(self, name: str, addresses: Sequence[str], *, mac: str | None = None, mtu: int = 1500) -> None:
        self.name = name
        self._resources = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.namespace_fd = _new_namespace()
            stack.callback(os.close, self.namespace_fd)
            with self.entered():
                self.fd = _open_tap("eth0")
                stack.callback(os.close, self.fd)
                Path("/proc/sys/net/ipv6/conf/eth0/accept_ra").write_text("0")
                if not any(":" in address for address in addresses):
                    Path("/proc/sys/net/ipv6/conf/eth0/disable_ipv6").write_text("1")
                Path("/proc/sys/net/ipv4/ping_group_range").write_text("0 2147483647")
            commands = ["link set lo up"]
            commands += [f"link set eth0 address {mac}"] if mac else []
            commands += [f"link set eth0 mtu {mtu} txqueuelen 10000 up"]
            commands += [f"addr add {address} dev eth0" + " nodad" * (":" in address) for address in addresses]
            self.ip(commands)
            self._resources = stack.pop_all()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, *_: object) -> None:
        self._resources.close()

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in the namespace; sockets made here stay in it."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _check(_libc.setns(self.namespace_fd, CLONE_NEWNET), "setns")
            yield
        finally:
            _check(_libc.setns(home, CLONE_NEWNET), "setns")
            os.close(home)

    def command(self, *arguments: str) -> list[str]:
        """The command line that runs in the namespace."""
        return ["nsenter", f"--net=/proc/{os.getpid()}/fd/{self.namespace_fd}", *arguments]

    def run(self, *arguments: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
        """Run a command in the namespace and wait for it."""
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=timeout_s)

    def ip(self, commands: Sequence[str]) -> None:
        """Commands for `ip -batch`."""
        text = "\n".join(commands)
        subprocess.run(self.command("ip", "-batch", "-"), input=text, text=True, check=True, timeout=30)


class Process:
    """A command in a host that is stopped at the end, by its own handle."""

    def __init__(self, host: Host, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            host.command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.popen.kill()
        self.popen.communicate()


def _new_namespace() -> int:
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _check(_libc.unshare(CLONE_NEWNET), "unshare")
        fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        _check(_libc.setns(home, CLONE_NEWNET), "setns")
        return fd
    finally:
        os.close(home)


def _open_tap(name: str) -> int:
    fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        try:
            fcntl.ioctl(fd, TUNSETOFFLOAD, OFFLOADS | UDP_OFFLOADS)
        except OSError:
            fcntl.ioctl(fd, TUNSETOFFLOAD, OFFLOADS)
    except OSError:
        os.close(fd)
        raise
    return fd


_REASON = reason_not_to_run()
needs_taps = pytest.mark.skipif(_REASON is not None, reason=_REASON or "")
