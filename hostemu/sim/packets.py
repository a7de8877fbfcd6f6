"""What hosts send each other: TCP segments, UDP datagrams and ICMP's "port unreachable", with their true sizes.

A flow number stands for the four addresses and ports that name a connection or a pair of UDP sockets.
"""

from __future__ import annotations

ETHERNET_BYTES = 14  # IEEE 802.3-2022, 3.1.1: two addresses and a type
IP_BYTES = 20  # RFC 791, 3.1, without options
TCP_BYTES = 20  # RFC 9293, 3.1
UDP_BYTES = 8  # RFC 768
ICMP_BYTES = 8  # RFC 792
ICMP_QUOTE_BYTES = 548  # RFC 1812, 4.3.2.3: an error message quotes as much as fits 576 bytes

# Options as Linux sends them: MSS 4, SACK permitted 2, timestamps 10, window scale 3 and padding 1 with a SYN;
# timestamps and padding with everything else that belongs to a connection (RFC 7323, appendix A).
SYN_OPTIONS_BYTES = 20
TIMESTAMP_OPTIONS_BYTES = 12
MSS_BYTES = 1500 - IP_BYTES - TCP_BYTES - TIMESTAMP_OPTIONS_BYTES

_DATAGRAM_HEADERS_BYTES = ETHERNET_BYTES + IP_BYTES + UDP_BYTES
_SEGMENT_HEADERS_BYTES = ETHERNET_BYTES + IP_BYTES + TCP_BYTES


# Control bits of a segment: plain integers, since they are looked at for every frame.
ACK = 1
SYN = 2
RST = 4
FLAG_NAMES = {ACK: "ack", SYN: "syn", RST: "rst"}


class Segment:
    """A TCP segment.  sequence, acknowledgement: bytes since the start of the stream (a SYN takes none).

    terminal: of a SYN: the index of the terminal that it is for, or None when it is for the host itself.
    port: of a SYN: the port that it is for.  is_stray: sent by a host that knows no such connection.
    """

    __slots__ = ("acknowledgement", "data", "flags", "flow", "frame_bytes", "port", "sequence", "terminal")

    def __init__(
        self,
        flow: int,
        flags: int,
        sequence: int = 0,
        acknowledgement: int = 0,
        data: bytes = b"",
        *,
        terminal: int | None = None,
        port: int = 0,
        is_stray: bool = False,
    ) -> None:
        self.flow = flow
        self.flags = flags
        self.sequence = sequence
        self.acknowledgement = acknowledgement
        self.data = data
        self.terminal = terminal
        self.port = port
        options = SYN_OPTIONS_BYTES if flags & SYN else 0 if is_stray else TIMESTAMP_OPTIONS_BYTES
        self.frame_bytes = _SEGMENT_HEADERS_BYTES + options + len(data)

    def describe(self) -> str:
        """One line for the trace."""
        names = "+".join(name for flag, name in FLAG_NAMES.items() if self.flags & flag)
        return f"tcp {self.flow} {names} {self.sequence} {self.acknowledgement} {len(self.data)}"


class Datagram:
    """A UDP datagram.  terminal: the index of the terminal it goes to; None: it goes back to the flow's socket."""

    __slots__ = ("data", "flow", "frame_bytes", "terminal")

    def __init__(self, flow: int, data: bytes, terminal: int | None = None) -> None:
        self.flow = flow
        self.data = data
        self.terminal = terminal
        self.frame_bytes = _DATAGRAM_HEADERS_BYTES + len(data)

    def describe(self) -> str:
        """One line for the trace."""
        return f"udp {self.flow} {len(self.data)}"


class PortUnreachable:
    """ICMP destination unreachable, code 3, about a datagram."""

    __slots__ = ("flow", "frame_bytes")

    def __init__(self, about: Datagram) -> None:
        self.flow = about.flow
        quote_bytes = min(about.frame_bytes - ETHERNET_BYTES, ICMP_QUOTE_BYTES)
        self.frame_bytes = ETHERNET_BYTES + IP_BYTES + ICMP_BYTES + quote_bytes

    def describe(self) -> str:
        """One line for the trace."""
        return f"icmp port-unreachable {self.flow}"
