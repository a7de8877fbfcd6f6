"""Network interfaces of guests whose frames a program carries.

A NIC's descriptor reads and writes one Ethernet frame at a time, each behind a 10-byte virtio_net_hdr, so that the
kernel can hand over super-frames (GSO) and leave checksums open.  There are two kinds:

tap    made inside the guest's namespace through /dev/net/tun
veth   where that may not be opened: a pair whose far end is in the guest, and a packet socket on the near end
cable  for guests with a kernel of their own: a TAP whose descriptor is the virtualiser's, and a packet socket on it
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import os
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from hostemu.base.errors import InputError
from hostemu.lab.kernel import NETWORK_AUDIT_EVENT

TUN_DEVICE = "/dev/net/tun"

# linux/if_tun.h
_TUNSETIFF, _TUNSETPERSIST = 0x400454CA, 0x400454CB
_TUNSETOFFLOAD, _TUNSETVNETHDRSZ = 0x400454D0, 0x400454D8
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_F_CSUM, _F_TSO4, _F_TSO6, _F_USO4, _F_USO6 = 0x01, 0x02, 0x04, 0x20, 0x40
VNET_HEADER_BYTES = 10

# linux/if_packet.h, asm-generic/socket.h
_SOL_PACKET, _PACKET_VNET_HDR, _PACKET_QDISC_BYPASS, _PACKET_IGNORE_OUTGOING = 263, 15, 20, 23
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33
_ETH_P_ALL = 3
PACKET_BUFFER_BYTES = 32 << 20

_near_ends = itertools.count()


@dataclass(frozen=True)
class Nic:
    """fd: where its frames are read and written; -1 where the far end is an interface.  index: inside the guest."""

    name: str
    kind: str
    fd: int
    index: int


def nic_kind() -> str:
    """The kind that this process can make: "tap" or "veth"."""
    try:
        os.close(os.open(TUN_DEVICE, os.O_RDWR))
    except OSError:
        return "veth"
    return "tap"


def check_kind(kind: str) -> str:
    """The kind itself; InputError when there is none of that name."""
    if kind not in ("tap", "veth"):
        raise InputError(f"no NIC of kind {kind!r}", expected="tap or veth", found=repr(kind))
    return kind


def open_tap(name: str) -> Nic:
    """A TAP in the namespace of the calling thread."""
    sys.audit(NETWORK_AUDIT_EVENT, 1)
    with ExitStack() as undo:
        fd = os.open(TUN_DEVICE, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        undo.callback(os.close, fd)
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", name.encode(), flags))
        fcntl.ioctl(fd, _TUNSETVNETHDRSZ, struct.pack("i", VNET_HEADER_BYTES))
        _set_offload(fd)
        # Closing a TAP costs a grace period of the kernel; those that persist go with their namespaces, in a batch.
        fcntl.ioctl(fd, _TUNSETPERSIST, 1)
        index = socket.if_nametoindex(name)
        undo.pop_all()
        return Nic(name, "tap", fd, index)


def open_cable(name: str) -> Nic:
    """A TAP in the namespace of the calling thread for a virtualiser to open by name; frames pass at the Nic's fd."""
    with ExitStack() as undo:
        tap = open_tap(name)
        os.close(tap.fd)  # it persists, as long as its namespace
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        undo.callback(sock.close)
        _prepare_packet_socket(sock)
        sock.bind((name, _ETH_P_ALL))
        undo.pop_all()
        return Nic(name, "cable", sock.detach(), tap.index)


def _set_offload(fd: int) -> None:
    """Let the guest hand over super-frames and open checksums; UDP segmentation only on kernels that know it."""
    basic = _F_CSUM | _F_TSO4 | _F_TSO6
    try:
        fcntl.ioctl(fd, _TUNSETOFFLOAD, basic | _F_USO4 | _F_USO6)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        fcntl.ioctl(fd, _TUNSETOFFLOAD, basic)


def open_veth(name: str, ns_fd: int, index_of: Callable[[str], int]) -> Nic:
    """A veth pair with its far end, called `name`, in the namespace `ns_fd`.

    index_of: looks an interface up inside that namespace.
    """
    from pyroute2 import IPRoute  # slow to import, and needed here only

    sys.audit(NETWORK_AUDIT_EVENT, 2)
    near = f"he{next(_near_ends)}"
    with ExitStack() as undo:
        with IPRoute() as route:
            route.link("add", ifname=near, kind="veth", peer={"ifname": name, "net_ns_fd": ns_fd})
            near_index = route.link_lookup(ifname=near)[0]
            undo.callback(_remove_link, near_index)
            route.link("set", index=near_index, state="up", txqlen=10_000)
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)
        undo.callback(sock.close)
        _prepare_packet_socket(sock)
        sock.bind((near, _ETH_P_ALL))
        index = index_of(name)
        undo.pop_all()
        return Nic(name, "veth", sock.detach(), index)


def make_pair(name: str, ns_fd: int, far_name: str, far_ns_fd: int) -> None:
    """A veth pair between two namespaces; gone when one of them is."""
    from pyroute2 import IPRoute

    sys.audit(NETWORK_AUDIT_EVENT, 2)
    near = f"he{next(_near_ends)}"
    with ExitStack() as undo, IPRoute() as route:
        route.link("add", ifname=near, kind="veth", peer={"ifname": far_name, "net_ns_fd": far_ns_fd})
        near_index = route.link_lookup(ifname=near)[0]
        undo.callback(_remove_link, near_index)
        route.link("set", index=near_index, net_ns_fd=ns_fd, ifname=name)
        undo.pop_all()


def _remove_link(index: int) -> None:
    from pyroute2 import IPRoute

    with IPRoute() as route:
        route.link("del", index=index)


def forget_error(nic: Nic) -> None:
    """Have a packet socket not tell that its interface was down: it would do so once, in the place of a frame."""
    with socket.socket(fileno=os.dup(nic.fd)) as sock:
        sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def _prepare_packet_socket(sock: socket.socket) -> None:
    for option in (_PACKET_VNET_HDR, _PACKET_IGNORE_OUTGOING, _PACKET_QDISC_BYPASS):
        sock.setsockopt(_SOL_PACKET, option, 1)
    for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        sock.setsockopt(socket.SOL_SOCKET, plain, PACKET_BUFFER_BYTES)
        with suppress(PermissionError):  # in a user namespace the kernel's own limit holds
            sock.setsockopt(socket.SOL_SOCKET, forced, PACKET_BUFFER_BYTES)
