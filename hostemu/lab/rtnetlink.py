"""rtnetlink messages for one namespace, packed by hand and sent in one batch.

A library object per namespace costs milliseconds, and a run makes a thousand namespaces.  Structures and numbers are
those of linux/netlink.h, rtnetlink.h, if_link.h, if_addr.h and neighbour.h; see rtnetlink(7).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from typing import Protocol

from hostemu.lab.kernel import NETWORK_AUDIT_EVENT

_NLMSG = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_ATTRIBUTE = struct.Struct("=HH")
_NLMSG_ERROR = 2
_REQUEST, _ACK, _REPLACE, _CREATE, _DUMP = 0x1, 0x4, 0x100, 0x400, 0x300

_NEWLINK, _NEWADDR, _NEWROUTE, _NEWNEIGH, _GETLINK, _GETADDR = 16, 20, 24, 28, 18, 22
_NLMSG_DONE = 3
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_TXQLEN, _IFLA_CARRIER = 1, 3, 4, 13, 33
_IFLA_GSO_MAX_SEGS = 40
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_NODAD = 0x02
_RTA_DST, _RTA_OIF, _RTA_GATEWAY = 1, 4, 5
_NDA_DST, _NDA_LLADDR = 1, 2
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_NUD_PERMANENT = 0x80
_RT_TABLE_MAIN, _RT_TABLE_LOCAL = 254, 255
_RTPROT_STATIC = 4
_RT_SCOPE_UNIVERSE, _RT_SCOPE_LINK, _RT_SCOPE_HOST = 0, 253, 254
_RTN_UNICAST, _RTN_LOCAL = 1, 2

LOOPBACK = 1
RECEIVE_BYTES = 1 << 16
TX_QUEUE_FRAMES = 10_000

Message = tuple[int, int, bytes]
"""Type, flags besides REQUEST and ACK, body."""


def _attribute(kind: int, value: bytes) -> bytes:
    padding = -len(value) % 4
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value + bytes(padding)


def _number(value: int) -> bytes:
    return struct.pack("=I", value)


def _family(address: IPv4Address | IPv6Address) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def pack_mac(mac: str) -> bytes:
    """The six octets of "02:00:00:00:00:01"."""
    return bytes.fromhex(mac.replace(":", ""))


def set_link(
    index: int, *, up: bool, mac: str | None = None, mtu: int | None = None, name: str | None = None
) -> Message:
    """Raise or lower an interface, with a long transmit queue; optionally give it a MAC address, an MTU, a name."""
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, _IFF_UP if up else 0, _IFF_UP)
    body += b"" if mac is None else _attribute(_IFLA_ADDRESS, pack_mac(mac))
    body += b"" if mtu is None else _attribute(_IFLA_MTU, _number(mtu))
    body += b"" if name is None else _attribute(_IFLA_IFNAME, name.encode() + b"\0")
    return _NEWLINK, 0, body + _attribute(_IFLA_TXQLEN, _number(TX_QUEUE_FRAMES))


def limit_segments(index: int, most: int) -> Message:
    """Have the kernel hand an interface at most so many segments of TCP as one frame; 1: no segmentation offload."""
    body = struct.pack("=BxHiII", socket.AF_UNSPEC, 0, index, 0, 0)
    return _NEWLINK, 0, body + _attribute(_IFLA_GSO_MAX_SEGS, _number(most))


def add_address(index: int, address: str) -> Message:
    """Give an interface an address such as "10.0.0.2/30", at once and without duplicate detection."""
    interface = ip_interface(address)
    packed = interface.ip.packed
    head = (_family(interface.ip), interface.network.prefixlen, _IFA_F_NODAD, _RT_SCOPE_UNIVERSE, index)
    body = struct.pack("=BBBBI", *head) + _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
    return _NEWADDR, _CREATE | _REPLACE, body


def _route(prefix: str, table: int, scope: int, kind: int, attributes: bytes) -> Message:
    network = ip_network(prefix)
    head = (_family(network.network_address), network.prefixlen, 0, 0, table, _RTPROT_STATIC, scope, kind, 0)
    destination = _attribute(_RTA_DST, network.network_address.packed) if network.prefixlen else b""
    return _NEWROUTE, _CREATE | _REPLACE, struct.pack("=BBBBBBBBI", *head) + destination + attributes


def add_route(prefix: str, gateway: str, index: int) -> Message:
    """Send what is for `prefix` to `gateway`."""
    attributes = _attribute(_RTA_GATEWAY, ip_address(gateway).packed) + _attribute(_RTA_OIF, _number(index))
    return _route(prefix, _RT_TABLE_MAIN, _RT_SCOPE_UNIVERSE, _RTN_UNICAST, attributes)


def add_link_route(prefix: str, index: int) -> Message:
    """Send what is for `prefix` out of an interface, to nobody in particular."""
    return _route(prefix, _RT_TABLE_MAIN, _RT_SCOPE_LINK, _RTN_UNICAST, _attribute(_RTA_OIF, _number(index)))


def add_local_prefix(prefix: str) -> Message:
    """Every address of `prefix` is this host's own (AnyIP)."""
    return _route(prefix, _RT_TABLE_LOCAL, _RT_SCOPE_HOST, _RTN_LOCAL, _attribute(_RTA_OIF, _number(LOOPBACK)))


def add_neighbour(index: int, address: str, mac: str) -> Message:
    """The MAC address of a neighbour, for good."""
    parsed = ip_address(address)
    body = struct.pack("=BxxxiHBB", _family(parsed), index, _NUD_PERMANENT, 0, 0)
    body += _attribute(_NDA_DST, parsed.packed) + _attribute(_NDA_LLADDR, pack_mac(mac))
    return _NEWNEIGH, _CREATE | _REPLACE, body


def configure(
    index: int,
    *,
    addresses: Iterable[str] = (),
    neighbours: Iterable[tuple[str, str]] = (),
    routes: Iterable[tuple[str, str]] = (),
    local_prefixes: Iterable[str] = (),
    most_segments: int | None = None,
) -> list[Message]:
    """All of an interface's settings.

    neighbours: (address, MAC).  routes: (prefix, gateway).  most_segments: see limit_segments; None: as it is.
    """
    return [
        *([] if most_segments is None else [limit_segments(index, most_segments)]),
        *(add_address(index, address) for address in addresses),
        *(add_neighbour(index, address, mac) for address, mac in neighbours),
        *(add_route(prefix, gateway, index) for prefix, gateway in routes),
        *(add_local_prefix(prefix) for prefix in local_prefixes),
    ]


def _pack(message: Message, sequence: int) -> bytes:
    kind, flags, body = message
    length = _NLMSG.size + len(body)
    return _NLMSG.pack(length, kind, _REQUEST | flags, sequence, 0) + body + bytes(-length % 4)


class Endpoint(Protocol):
    """Where rtnetlink messages go and the kernel's answers come from: a socket, or a guest's agent."""

    def send(self, data: bytes, /) -> object:
        """Hand over a batch of messages."""

    def recv(self, size: int, /) -> bytes:
        """The next of the kernel's answers."""

    def close(self) -> None:
        """Give it back."""


def _own_kernel() -> socket.socket:
    endpoint = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    endpoint.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    endpoint.bind((0, 0))
    return endpoint


@dataclass(frozen=True)
class Link:
    """An interface as its kernel tells of it.

    has_carrier: its cable is in, even when it is down.
    is_running: up, with a carrier, and its queue at work; a kernel may tell of that up to a second late.
    """

    index: int
    name: str
    mac: str
    has_carrier: bool
    is_running: bool


class RouteSocket:
    """Talks rtnetlink with a kernel; without an endpoint, that of the namespace of the thread that makes it."""

    def __init__(self, endpoint: Endpoint | None = None) -> None:
        self._socket = endpoint or _own_kernel()

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def request(self, messages: list[Message]) -> None:
        """Have all messages carried out in order; OSError for the first one that the kernel refuses."""
        if not messages:
            return
        sys.audit(NETWORK_AUDIT_EVENT, len(messages))
        batch = [_pack((kind, flags | _ACK, body), at) for at, (kind, flags, body) in enumerate(messages)]
        self._socket.send(b"".join(batch))
        left = len(messages)
        while left:
            for kind, sequence, body in self._receive():
                if kind != _NLMSG_ERROR:
                    continue
                number = -struct.unpack_from("=i", body)[0]
                if number:
                    raise OSError(number, f"netlink message {sequence} of {len(messages)}: {os.strerror(number)}")
                left -= 1

    def addresses(self) -> set[tuple[int, str]]:
        """(interface, address) of this namespace, as its kernel tells."""
        asked = (_GETADDR, _DUMP, struct.pack("=BBBBI", 0, 0, 0, 0, 0))
        return {_parse_address(body) for body in self._dump(asked, _NEWADDR)}

    def links(self) -> list[Link]:
        """The interfaces of this namespace."""
        asked = (_GETLINK, _DUMP, struct.pack("=BxHiII", socket.AF_UNSPEC, 0, 0, 0, 0))
        return [_parse_link(body) for body in self._dump(asked, _NEWLINK)]

    def _dump(self, asked: Message, wanted: int) -> Iterator[bytes]:
        """The bodies of all messages of kind `wanted` that answer a dump request."""
        self._socket.send(_pack(asked, 0))
        while True:
            for kind, _, body in self._receive():
                if kind == _NLMSG_DONE:
                    return
                if kind == wanted:
                    yield body

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        data = self._socket.recv(RECEIVE_BYTES)
        at = 0
        while at + _NLMSG.size <= len(data):
            length, kind, _, sequence, _ = _NLMSG.unpack_from(data, at)
            yield kind, sequence, data[at + _NLMSG.size : at + length]
            at += length + (-length % 4)


def _attributes(body: bytes, at: int) -> dict[int, bytes]:
    """The attributes behind the fixed part of a message."""
    found = {}
    while at + _ATTRIBUTE.size <= len(body):
        length, kind = _ATTRIBUTE.unpack_from(body, at)
        found[kind] = body[at + _ATTRIBUTE.size : at + length]
        at += length + (-length % 4)
    return found


def _parse_address(body: bytes) -> tuple[int, str]:
    """Interface index and address of a NEWADDR message."""
    attributes = _attributes(body, 8)
    address = attributes.get(_IFA_LOCAL) or attributes[_IFA_ADDRESS]
    return struct.unpack_from("=I", body, 4)[0], str(ip_address(address))


def _parse_link(body: bytes) -> Link:
    """The interface of a NEWLINK message."""
    attributes = _attributes(body, 16)
    name = attributes[_IFLA_IFNAME].rstrip(b"\0").decode()
    index, flags = struct.unpack_from("=iI", body, 4)
    mac, has_carrier = attributes.get(_IFLA_ADDRESS, b"").hex(":"), attributes.get(_IFLA_CARRIER) == b"\1"
    return Link(index, name, mac, has_carrier, bool(flags & _IFF_RUNNING))


def raise_loopback() -> None:
    """Bring up the loopback interface of this thread's namespace."""
    route_socket = RouteSocket()
    try:
        route_socket.request([set_link(LOOPBACK, up=True)])
    except OSError as error:
        if error.errno != errno.ENODEV:
            raise
    finally:
        route_socket.close()
