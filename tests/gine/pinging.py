"""Echo requests, and what comes of them; without the ping program."""

from __future__ import annotations

import select
import socket
import struct
from dataclasses import dataclass

from tests.gine.namespaces import Host

MSG_ERRQUEUE = 0x2000
IP_TTL, IP_RECVTTL, IP_RECVERR = 2, 12, 11
IPV6_RECVERR, IPV6_RECVHOPLIMIT, IPV6_HOPLIMIT = 25, 51, 52


@dataclass(frozen=True)
class Answer:
    """A reply ("reply", its hop limit left) or an error ("error", the ICMP type and code, who sent it)."""

    kind: str
    hops_left: int = 0
    icmp: tuple[int, int] = (0, 0)
    offender: str = ""
    payload: bytes = b""


def ping(host: Host, address: str, *, ttl: int = 64, wait_s: float = 10, payload: bytes = b"hello") -> Answer | None:
    """Send one echo request; what came back, or None when nothing did in time."""
    v6 = ":" in address
    with host.entered():
        family, protocol = (socket.AF_INET6, 58) if v6 else (socket.AF_INET, 1)
        echo = socket.socket(family, socket.SOCK_DGRAM, protocol)
    with echo:
        level = socket.IPPROTO_IPV6 if v6 else socket.IPPROTO_IP
        for option in (IPV6_RECVERR, IPV6_RECVHOPLIMIT) if v6 else (IP_RECVERR, IP_RECVTTL):
            echo.setsockopt(level, option, 1)
        echo.setsockopt(level, socket.IPV6_UNICAST_HOPS if v6 else socket.IP_TTL, ttl)
        echo.sendto(struct.pack("!BBHHH", 128 if v6 else 8, 0, 0, 1, 1) + payload, (address, 0))
        poll = select.poll()
        poll.register(echo, select.POLLIN)
        ready = poll.poll(wait_s * 1000)
        if not ready:
            return None
        if ready[0][1] & select.POLLERR:
            return _error(echo, v6)
        data, ancillary, _, _ = echo.recvmsg(65536, 256)
        hops = next(item for _, kind, item in ancillary if kind == (IPV6_HOPLIMIT if v6 else IP_TTL))
        return Answer("reply", hops_left=int.from_bytes(hops[:4], "little"), payload=data[8:])


def _error(echo: socket.socket, v6: bool) -> Answer:
    """The first struct sock_extended_err of the error queue, and the address behind it."""
    _, ancillary, _, _ = echo.recvmsg(2048, 512, MSG_ERRQUEUE)
    item = next(item for _, kind, item in ancillary if kind == (IPV6_RECVERR if v6 else IP_RECVERR))
    _, _, kind, code, _, _, _ = struct.unpack_from("IBBBBII", item)
    family = socket.AF_INET6 if v6 else socket.AF_INET
    at, length = (16 + 8, 16) if v6 else (16 + 4, 4)
    return Answer("error", icmp=(kind, code), offender=socket.inet_ntop(family, item[at : at + length]))
