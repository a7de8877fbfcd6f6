"""Socket matters that all programs share: error numbers as reasons, resets, deafness, limits."""

from __future__ import annotations

import array
import errno
import resource
import socket
import struct
from ipaddress import ip_address

from hostemu.base.errors import HostError
from hostemu.protocol.reasons import Reason
from hostemu.protocol.wire import MAX_FRAME_BYTES

RECEIVE_BYTES = 16 * 1024
DATAGRAM_BYTES = MAX_FRAME_BYTES + 3
"""A frame, its length field, and one more by which to see that it is too long."""

LINGER_NONE = struct.pack("ii", 1, 0)

IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h
IPV6_FREEBIND = 78  # linux/in6.h
SO_ATTACH_FILTER = 26  # asm-generic/socket.h
SO_DETACH_FILTER = 27

_DROP_ALL = array.array("B", struct.pack("HBBI", 0x06, 0, 0, 0))  # BPF_RET | BPF_K, 0: keep 0 bytes
_DROP_ALL_PROGRAM = struct.pack("HP", 1, _DROP_ALL.buffer_info()[0])

_REASONS = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ETIMEDOUT: Reason.SILENT,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.ENETUNREACH: Reason.UNREACHABLE,
    errno.EHOSTDOWN: Reason.UNREACHABLE,
    errno.ENETDOWN: Reason.UNREACHABLE,
    errno.ECONNRESET: Reason.RESET,
    errno.ECONNABORTED: Reason.RESET,
    errno.EPIPE: Reason.RESET,
}


def reason_of(error_number: int) -> Reason:
    """Why a connection failed; what is no word from the network (EMFILE, EADDRNOTAVAIL, …) is LOCAL."""
    return _REASONS.get(error_number, Reason.LOCAL)


def family_of(address: str) -> socket.AddressFamily:
    """AF_INET or AF_INET6."""
    return socket.AF_INET if ip_address(address).version == 4 else socket.AF_INET6


def reset(sock: socket.socket) -> None:
    """Close with RST: the peer learns it at once, and no TIME_WAIT keeps the port on either side."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
    finally:
        sock.close()


def deafen(sock: socket.socket) -> None:
    """Have the kernel discard whatever comes in for this socket, as if the host were switched off.

    What the socket has sent and the peer has not acknowledged is still retransmitted now and then.
    """
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, _DROP_ALL_PROGRAM)


def undeafen(sock: socket.socket) -> None:
    """Take the filter of `deafen` off again; harmless without one."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
    except FileNotFoundError:
        return


def bound_socket(kind: socket.SocketKind, address: str, port: int) -> socket.socket:
    """A non-blocking socket bound to `address`, which need be no interface's own (AnyIP); raises OSError."""
    family = family_of(address)
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(kind == socket.SOCK_STREAM))
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        sock.bind((address, port))
    except BaseException:
        sock.close()
        raise
    return sock


def raise_file_limit() -> int:
    """Allow this process as many descriptors as it may have; returns that number."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def require_files(needed: int, what: str, hint: str) -> None:
    """HostError when this process may not have `needed` descriptors."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if needed > limit:
        raise HostError(
            f"too few file descriptors for {what}",
            expected=f"at least {needed}",
            found=str(limit),
            hint=f"raise the hard limit (ulimit -Hn), or {hint}",
        )
