"""TCP between simulated hosts: a reliable byte stream over lines that may lose, delay and drop.

Kept: the handshake, cumulative and delayed acknowledgements, retransmission by time-out and by three duplicates, slow
start and congestion avoidance, reset.  Left out, against Linux: selective acknowledgements, tail loss probes, and the
orderly close; connections end by reset, as the programs' do.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Protocol

from hostemu.protocol.reasons import Reason
from hostemu.sim.acknowledging import DELAY_NS, Acknowledging
from hostemu.sim.clock import Timer
from hostemu.sim.packets import ACK, MSS_BYTES, RST, SYN, Segment

if TYPE_CHECKING:
    from hostemu.sim.kernel import Kernel
    from hostemu.sim.network import Host

INITIAL_RTO_NS = 1_000_000_000  # RFC 6298, 2.1; Linux: TCP_TIMEOUT_INIT
MINIMUM_RTO_NS = 200_000_000  # Linux: TCP_RTO_MIN, the least that the variance adds to the round trip
MAXIMUM_RTO_NS = 120_000_000_000  # Linux: TCP_RTO_MAX
SYN_RETRIES = 6  # Linux: net.ipv4.tcp_syn_retries
SYN_ACK_RETRIES = 5  # Linux: net.ipv4.tcp_synack_retries
DATA_RETRIES = 15  # Linux: net.ipv4.tcp_retries2
INITIAL_WINDOW_BYTES = 10 * MSS_BYTES  # RFC 6928
RECEIVE_WINDOW_BYTES = 65_535  # RFC 9293, 3.1; the window before scaling
DUPLICATES = 3  # RFC 5681, 3.2


class Owner(Protocol):
    """A program's side of a connection or socket."""

    def opened(self) -> None:
        """The connection stands."""

    def received(self, data: bytes) -> None:
        """These bytes have come (UDP: one datagram)."""

    def broken(self, reason: Reason) -> None:
        """The connection is gone: REFUSED, SILENT, RESET or TIMEOUT."""


class TcpState(Enum):
    """Where a connection stands (RFC 9293, 3.3.2, without the states of an orderly close)."""

    SYN_SENT = auto()
    SYN_RECEIVED = auto()
    ESTABLISHED = auto()
    CLOSED = auto()


class RoundTrip:
    """Estimate of the round trip, and the time-out that follows from it (RFC 6298, with Linux' minimum)."""

    __slots__ = ("_smooth_ns", "_variation_ns", "rto_ns")

    def __init__(self) -> None:
        self._smooth_ns = -1
        self._variation_ns = 0
        self.rto_ns = INITIAL_RTO_NS

    def measured(self, round_trip_ns: int) -> None:
        """Take one measurement in."""
        if self._smooth_ns < 0:
            self._smooth_ns = round_trip_ns
            self._variation_ns = round_trip_ns // 2
        else:
            self._variation_ns += (abs(self._smooth_ns - round_trip_ns) - self._variation_ns) // 4
            self._smooth_ns += (round_trip_ns - self._smooth_ns) // 8
        self.reset()

    def reset(self) -> None:
        """End the doubling: something new was acknowledged."""
        known = self._smooth_ns >= 0
        self.rto_ns = self._smooth_ns + max(MINIMUM_RTO_NS, 4 * self._variation_ns) if known else INITIAL_RTO_NS

    def double(self) -> None:
        """A time-out has passed in vain."""
        self.rto_ns = min(2 * self.rto_ns, MAXIMUM_RTO_NS)


class TcpConnection:
    """One end of a connection.

    is_deaf: what arrives is discarded: the host is switched off, but its kernel's timers are not.
    """

    def __init__(self, kernel: Kernel, peer: Host, flow: int, owner: Owner | None = None) -> None:
        self.state = TcpState.CLOSED
        self.owner = owner
        self.is_deaf = False
        self.peer = peer
        self.flow = flow
        self._kernel = kernel
        self._clock = kernel.clock
        self._syn: Segment | None = None
        self._timer = Timer(kernel.clock, self._timed_out)
        self._round_trip = RoundTrip()
        self._retries = 0
        self._timed: tuple[int, int] | None = (0, kernel.clock.now_ns)  # (acknowledgement, sent at): what is timed
        # Sending: `_stream` holds what is not acknowledged, from byte `_first` on; `_next` is the next byte to send.
        self._stream = bytearray()
        self._first = 0
        self._next = 0
        self._window = INITIAL_WINDOW_BYTES
        self._threshold = RECEIVE_WINDOW_BYTES
        self._duplicates = 0
        self._recover: int | None = None
        # Receiving: `_expected` is the next byte of the stream; `_early` holds pieces behind a gap.
        self._expected = 0
        self._early: dict[int, bytes] = {}
        self._acknowledging = Acknowledging()
        self._delay = Timer(kernel.clock, self._waited_in_vain)

    def connect(self, syn: Segment) -> None:
        """Send the first segment, and again until it is answered."""
        self.state = TcpState.SYN_SENT
        self._syn = syn
        self._send_opening(syn)

    def answer(self) -> None:
        """A SYN has come, and the port is open."""
        self.state = TcpState.SYN_RECEIVED
        self._send_opening(Segment(self.flow, SYN | ACK))

    def send(self, data: bytes) -> None:
        """Append to the stream."""
        if self.state is not TcpState.CLOSED:
            self._stream += data
            self._push()

    def abort(self) -> None:
        """Reset the connection and forget it; a connection that does not stand yet is just forgotten."""
        if self.state is TcpState.ESTABLISHED:
            self._transmit(Segment(self.flow, RST | ACK, self._next, self._expected))
        self._forget()

    def receive(self, segment: Segment) -> None:
        """A segment of this connection has arrived."""
        if self.is_deaf or self.state is TcpState.CLOSED:
            return
        if segment.flags & RST:
            self._break(Reason.REFUSED if self.state is TcpState.SYN_SENT else Reason.RESET)
        elif segment.flags & SYN:
            self._receive_opening()
        elif self.state is not TcpState.SYN_SENT:
            if self.state is TcpState.SYN_RECEIVED:
                self._establish()
            self._receive_acknowledgement(segment)
            if segment.data:
                self._receive_data(segment)

    def _transmit(self, segment: Segment) -> None:
        self._kernel.transmit(self.peer, segment)

    def _acknowledge(self) -> None:
        self._delay.clear()
        self._acknowledging.sent(self._clock.now_ns, with_data=False)
        self._transmit(Segment(self.flow, ACK, self._next, self._expected))

    def _waited_in_vain(self) -> None:
        self._acknowledging.waited_in_vain()
        self._acknowledge()

    def _forget(self) -> None:
        self.state = TcpState.CLOSED
        self._timer.clear()
        self._delay.clear()
        self._kernel.sockets.pop(self.flow, None)

    def _break(self, reason: Reason) -> None:
        self._forget()
        if self.owner is not None:
            self.owner.broken(reason)

    # opening

    def _send_opening(self, segment: Segment) -> None:
        self._transmit(segment)
        self._timer.set(self._clock.now_ns + self._round_trip.rto_ns)

    def _receive_opening(self) -> None:
        """A SYN (again) or a SYN with an acknowledgement has come."""
        if self.state is TcpState.SYN_RECEIVED:
            self._transmit(Segment(self.flow, SYN | ACK))
        elif self.state is TcpState.ESTABLISHED:
            self._acknowledge()
        else:
            self._acknowledge()
            self._establish()

    def _establish(self) -> None:
        self.state = TcpState.ESTABLISHED
        self._timer.clear()
        if self._timed is not None:
            self._round_trip.measured(self._clock.now_ns - self._timed[1])
        else:
            self._round_trip.reset()
        self._timed = None
        self._retries = 0
        if self.owner is not None:
            self.owner.opened()
        self._push()

    # sending

    def _push(self) -> None:
        """Send what the window lets through."""
        if self.state is not TcpState.ESTABLISHED:
            return
        window = min(self._window, RECEIVE_WINDOW_BYTES)
        while True:
            sent = self._next - self._first
            size = min(MSS_BYTES, len(self._stream) - sent)
            if size <= 0 or sent + size > window:
                break
            self._send_piece(self._next, size)
            self._next += size
            if self._timed is None and not self._retries and self._recover is None:
                self._timed = (self._next, self._clock.now_ns)
        if self._next > self._first and not self._timer.is_set:
            self._timer.set(self._clock.now_ns + self._round_trip.rto_ns)

    def _send_piece(self, sequence: int, size: int) -> None:
        at = sequence - self._first
        data = bytes(self._stream[at : at + size])
        self._delay.clear()
        self._acknowledging.sent(self._clock.now_ns, with_data=True)
        self._transmit(Segment(self.flow, ACK, sequence, self._expected, data))

    def _resend_first(self) -> int:
        """Send the oldest unacknowledged bytes again; how many.  What was sent twice is not timed (Karn)."""
        size = min(MSS_BYTES, len(self._stream))
        self._timed = None
        self._send_piece(self._first, size)
        return size

    def _receive_acknowledgement(self, segment: Segment) -> None:
        acknowledged = segment.acknowledgement - self._first
        if 0 < acknowledged <= len(self._stream):
            self._advance(acknowledged)
        elif acknowledged == 0 and not segment.data and self._next > self._first:
            self._duplicates += 1
            if self._duplicates == DUPLICATES and self._recover is None:
                self._shrink()
                self._window = self._threshold
                self._recover = self._next
                self._resend_first()

    def _advance(self, acknowledged: int) -> None:
        """`acknowledged` bytes more have arrived."""
        self._first += acknowledged
        self._next = max(self._next, self._first)
        del self._stream[:acknowledged]
        self._duplicates = 0
        self._retries = 0
        if self._timed is not None and self._first >= self._timed[0]:
            self._round_trip.measured(self._clock.now_ns - self._timed[1])
            self._timed = None
        else:
            self._round_trip.reset()
        self._timer.clear()
        if self._recover is not None and self._first < self._recover:
            self._resend_first()  # RFC 6582: a partial acknowledgement shows the next gap
        else:
            self._recover = None
            self._grow(acknowledged)
        self._push()

    def _grow(self, acknowledged: int) -> None:
        if self._window < self._threshold:
            self._window += acknowledged
        else:
            self._window += max(1, MSS_BYTES * acknowledged // self._window)

    def _shrink(self) -> None:
        self._threshold = max((self._next - self._first) // 2, 2 * MSS_BYTES)

    def _timed_out(self) -> None:
        self._retries += 1
        self._timed = None
        self._round_trip.double()
        match self.state:
            case TcpState.SYN_SENT if self._retries > SYN_RETRIES:
                self._break(Reason.SILENT)
            case TcpState.SYN_SENT if self._syn is not None:
                self._send_opening(self._syn)
            case TcpState.SYN_RECEIVED if self._retries > SYN_ACK_RETRIES:
                self._break(Reason.SILENT)
            case TcpState.SYN_RECEIVED:
                self._send_opening(Segment(self.flow, SYN | ACK))
            case TcpState.ESTABLISHED if self._retries > DATA_RETRIES:
                self._break(Reason.TIMEOUT)
            case TcpState.ESTABLISHED:
                self._start_again()

    def _start_again(self) -> None:
        """Nothing comes back: begin anew at the first byte that is not acknowledged (RFC 5681, 3.1)."""
        self._shrink()
        self._window = MSS_BYTES
        self._recover = None
        self._duplicates = 0
        self._next = self._first + self._resend_first()
        self._timer.set(self._clock.now_ns + self._round_trip.rto_ns)

    # receiving

    def _receive_data(self, segment: Segment) -> None:
        end = segment.sequence + len(segment.data)
        if segment.sequence > self._expected or end <= self._expected or self._early:
            # RFC 5681, 4.2: gaps, and what fills them, are acknowledged at once.
            self._early.setdefault(segment.sequence, segment.data)
            data = self._take_early()
            self._acknowledge()
        else:
            data = segment.data[self._expected - segment.sequence :]
            self._expected = end
            self._acknowledge_in_order(len(data))
        if data and self.owner is not None:
            self.owner.received(data)

    def _acknowledge_in_order(self, size_bytes: int) -> None:
        now_ns = self._clock.now_ns
        if self._acknowledging.received(now_ns, size_bytes):
            self._acknowledge()
        elif not self._delay.is_set:
            self._delay.set(now_ns + DELAY_NS)

    def _take_early(self) -> bytes:
        """The bytes that the pieces at hand bring the stream on."""
        pieces = []
        while self._early:
            sequence = min(self._early)
            if sequence > self._expected:
                break
            piece = self._early.pop(sequence)[self._expected - sequence :]
            pieces.append(piece)
            self._expected += len(piece)
        return b"".join(pieces)
