"""A caller of simulated terminals, by TCP segments that it makes itself."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from hostemu.protocol.events import Event, Send
from hostemu.protocol.exchange import ExchangeSettings, IspExchange
from hostemu.protocol.wire import FrameReader, encode
from hostemu.retrieval.simulated import SimulatedFarm

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
VNET = bytes(10)
SAID_BYTES = 1 << 16
NEVER_NS = (1 << 63) - 1
OWN = IPv4Address("10.0.0.6")
_CALL = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_int64, ctypes.c_char_p, ctypes.c_int64, ctypes.c_char_p
)


def checksum(data: bytes) -> int:
    """RFC 1071; 0 over data that has its own in it."""
    total = sum(struct.unpack(f">{len(data) // 2}H", data[: len(data) & ~1])) + (
        data[-1] << 8 if len(data) & 1 else 0
    )
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF ^ total


@dataclass(frozen=True)
class Segment:
    """A TCP segment and its addresses."""

    source: IPv4Address
    target: IPv4Address
    source_port: int
    target_port: int
    sequence: int
    acknowledged: int
    flags: int
    data: bytes = b""

    def frame(self) -> bytes:
        """As it comes to a port."""
        size = 20 + len(self.data)
        ports = (self.source_port, self.target_port, self.sequence & 0xFFFF_FFFF, self.acknowledged & 0xFFFF_FFFF)
        tcp = struct.pack(">HHIIBBHHH", *ports, 5 << 4, self.flags, 65535, 0, 0) + self.data
        addresses = self.source.packed + self.target.packed
        ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + size, 0, 0x4000, 64, 6, 0) + addresses
        return VNET + bytes(12) + b"\x08\x00" + ip + tcp


def read_segment(frame: bytes) -> Segment:
    """What a frame holds, which must be whole and have right checksums."""
    ip = frame[24:]
    assert frame[:10] == VNET
    assert frame[22:24] == b"\x08\x00"
    whole = int.from_bytes(ip[2:4], "big")
    assert len(ip) == whole
    assert checksum(ip[:20]) == 0
    tcp = ip[20:]
    assert checksum(ip[12:20] + struct.pack(">HH", 6, len(tcp)) + tcp) == 0
    source_port, target_port, sequence, acknowledged, head, flags = struct.unpack_from(">HHIIBB", tcp)
    addresses = IPv4Address(ip[12:16]), IPv4Address(ip[16:20])
    return Segment(*addresses, source_port, target_port, sequence, acknowledged, flags, tcp[4 * (head >> 4) :])


@dataclass
class Network:
    """Calls a farm's terminals, as the emulator would.  next_ns: when the farm wants to be called next."""

    farm: SimulatedFarm
    next_ns: int = NEVER_NS

    def __post_init__(self) -> None:
        host = self.farm.host
        self._call = _CALL(host.call)
        self._handle = host.handle

    def say(self, now_ns: int, frame: bytes | None) -> list[Segment]:
        """What the farm answers a frame, or that the moment has come."""
        said = ctypes.create_string_buffer(SAID_BYTES)
        total = self._call(self._handle, now_ns, frame, 0 if frame is None else len(frame), said)
        self.next_ns = struct.unpack_from("<q", said)[0]
        found, at = [], 8
        while at < total:
            size = struct.unpack_from("<q", said, at)[0]
            found.append(read_segment(said.raw[at + 8 : at + 8 + size]))
            at += 8 + (size + 7 & ~7)
        return found


@dataclass
class Caller:
    """One connection to a terminal.  received: what the terminal has sent, in order.  reset: it has cut it off."""

    network: Network
    address: IPv4Address
    port: int
    own_port: int = 40000
    sequence: int = 1000
    expected: int = 0
    received: bytes = b""
    is_open: bool = False
    reset: bool = False
    last: list[Segment] = field(default_factory=list)

    def segment(self, flags: int, data: bytes = b"", sequence: int | None = None) -> Segment:
        """The next one, or one from another place in the sequence."""
        at = self.sequence if sequence is None else sequence
        return Segment(OWN, self.address, self.own_port, self.port, at, self.expected, flags, data)

    def send(self, now_ns: int, segment: Segment) -> list[Segment]:
        """Send a segment; what comes back, which is taken in as far as it is new."""
        self.last = self.network.say(now_ns, segment.frame())
        for answer in self.last:
            self.take(answer)
        return self.last

    def take(self, answer: Segment) -> None:
        """An answer has come."""
        assert (answer.source, answer.source_port, answer.target_port) == (self.address, self.port, self.own_port)
        if answer.flags & RST:
            self.reset, self.is_open = True, False
        elif answer.flags & SYN and not self.is_open:
            self.is_open = True
            self.expected = answer.sequence + 1
            self.sequence += 1
        elif answer.sequence == self.expected:
            self.received += answer.data
            self.expected += len(answer.data) + bool(answer.flags & FIN)

    def open(self, now_ns: int) -> bool:
        """Whether the terminal answers."""
        self.send(now_ns, self.segment(SYN))
        if self.is_open:
            assert self.send(now_ns, self.segment(ACK)) == []
        return self.is_open

    def write(self, now_ns: int, data: bytes) -> None:
        """Send data, and acknowledge what comes back."""
        segment = self.segment(PSH | ACK, data)
        self.sequence += len(data)
        self.send(now_ns, segment)
        if self.is_open:
            assert self.network.say(now_ns, self.segment(ACK).frame()) == []


def exchange(caller: Caller, now_ns: int, exchange: IspExchange) -> list[Event]:
    """Lead a whole exchange on an open connection; all that has become of it."""
    reader = FrameReader()
    events = exchange.begin(now_ns) + exchange.opened(now_ns)
    done: list[Event] = []
    while events:
        event = events.pop(0)
        done.append(event)
        if isinstance(event, Send):
            read = len(caller.received)
            caller.write(now_ns, encode(event.message))
            for message in reader.feed(caller.received[read:]):
                events += exchange.receive(message, now_ns)
    return done


SETTINGS = ExchangeSettings(True, 10**9, 10**9)
