"""A simulated host's kernel: hands packets to connections and sockets, and answers for those that are not there."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto
from itertools import count
from typing import Any, Protocol

from hostemu.measure.costs import NO_COSTS, Costs
from hostemu.protocol.reasons import Reason
from hostemu.sim.clock import Clock
from hostemu.sim.cpu import Queue, Thread
from hostemu.sim.network import Body, Host, Network, Packet
from hostemu.sim.packets import ACK, RST, SYN, Datagram, PortUnreachable, Segment
from hostemu.sim.tcp import Owner, TcpConnection


class Port(Enum):
    """How a port meets a stranger."""

    OPEN = auto()
    CLOSED = auto()
    SILENT = auto()


class Service(Protocol):
    """What listens on a host."""

    def port(self, terminal: int | None, port: int) -> Port:
        """The state of a terminal's port, or (terminal None) of one of the host's own."""

    def accept(self, connection: TcpConnection, syn: Segment) -> Owner:
        """Who owns a connection that has just been asked for."""

    def received_from(self, source: Host, datagram: Datagram) -> None:
        """A datagram has come to an open port."""


class Kernel:
    """sockets: connections and UDP sockets by flow number.

    nic: of the frames that wait for the guest's CPU; None where the kernel's work costs nothing.
    """

    def __init__(self, clock: Clock, network: Network, host: Host, flows: count[int]) -> None:
        self.clock = clock
        self.host = host
        self.sockets: dict[int, TcpConnection | UdpSocket] = {}
        self.service: Service | None = None
        self.nic: Queue | None = None
        self._cpu: Thread | None = None
        self._costs = NO_COSTS
        self._network = network
        self._flows = flows
        host.receive = self._receive

    def charge(self, cpu: Thread, costs: Costs) -> None:
        """Have a CPU do this kernel's work, at these costs; it does the program's, too."""
        self._cpu, self._costs = cpu, costs
        self.nic = Queue(cpu, costs.nic_queue_frames)
        if costs.guest_frame_ns or costs.guest_kib_ns:
            self.host.receive = self._take_in

    def transmit(self, target: Host, body: Body) -> None:
        """Send a packet."""
        self._spend(self._frame_cost_ns(body), self._network.send, self.host, target, body)

    def _take_in(self, packet: Packet) -> None:
        if self.nic is not None and not self.nic.offer(self._frame_cost_ns(packet.body), self._receive, packet):
            self.clock.note(self.host.name, f"{packet.body.describe()} {packet.wire_bytes} B no room")

    def _frame_cost_ns(self, body: Body) -> int:
        return self._costs.guest_frame_ns + self._costs.guest_kib_ns * body.frame_bytes // 1024

    def _spend(self, cost_ns: int, function: Callable[..., None], *arguments: Any) -> None:
        if self._cpu is None or not cost_ns:
            function(*arguments)
        else:
            self._cpu.do(cost_ns, function, *arguments)

    def connect(self, peer: Host, owner: Owner, *, terminal: int | None = None, port: int) -> TcpConnection:
        """Begin to open a connection."""
        connection = TcpConnection(self, peer, next(self._flows), owner)
        self.sockets[connection.flow] = connection
        connection.connect(Segment(connection.flow, SYN, terminal=terminal, port=port))
        return connection

    def udp_socket(self, peer: Host, owner: Owner, *, terminal: int) -> UdpSocket:
        """A UDP socket that talks to one terminal."""
        socket = UdpSocket(self, peer, next(self._flows), owner, terminal)
        self.sockets[socket.flow] = socket
        return socket

    def _receive(self, packet: Packet) -> None:
        body = packet.body
        match body:
            case Segment():
                self._receive_segment(packet.source, body)
            case Datagram():
                self._receive_datagram(packet.source, body)
            case PortUnreachable():
                socket = self.sockets.get(body.flow)
                if isinstance(socket, UdpSocket):
                    socket.owner.broken(Reason.REFUSED)

    def _receive_segment(self, source: Host, segment: Segment) -> None:
        connection = self.sockets.get(segment.flow)
        if isinstance(connection, TcpConnection):
            connection.receive(segment)
        elif segment.flags == SYN:
            self._receive_syn(source, segment)
        elif not segment.flags & RST:
            self._reset(source, segment)

    def _receive_syn(self, source: Host, syn: Segment) -> None:
        port = Port.CLOSED if self.service is None else self.service.port(syn.terminal, syn.port)
        if port is Port.CLOSED:
            self._reset(source, syn)
        elif port is Port.OPEN and self.service is not None:
            connection = TcpConnection(self, source, syn.flow)
            self.sockets[syn.flow] = connection
            connection.owner = self.service.accept(connection, syn)
            connection.answer()

    def _reset(self, source: Host, segment: Segment) -> None:
        """RFC 9293, 3.10.7.1: a segment for a connection that does not exist is answered with a reset."""
        self._refuse(source, Segment(segment.flow, RST | ACK, segment.acknowledgement, is_stray=True))

    def _refuse(self, source: Host, body: Body) -> None:
        self._spend(self._costs.terminal_refused_ns, self.transmit, source, body)

    def _receive_datagram(self, source: Host, datagram: Datagram) -> None:
        if datagram.terminal is None:
            socket = self.sockets.get(datagram.flow)
            if isinstance(socket, UdpSocket):
                socket.owner.received(datagram.data)
                return
        port = Port.CLOSED
        if datagram.terminal is not None and self.service is not None:
            port = self.service.port(datagram.terminal, 0)
        if port is Port.CLOSED:
            self._refuse(source, PortUnreachable(datagram))
        elif port is Port.OPEN and self.service is not None:
            self.service.received_from(source, datagram)


class UdpSocket:
    """A connected UDP socket."""

    __slots__ = ("_kernel", "_peer", "_terminal", "flow", "owner")

    def __init__(self, kernel: Kernel, peer: Host, flow: int, owner: Owner, terminal: int) -> None:
        self.flow = flow
        self.owner = owner
        self._kernel = kernel
        self._peer = peer
        self._terminal = terminal

    def send(self, data: bytes) -> None:
        """Send one datagram."""
        self._kernel.transmit(self._peer, Datagram(self.flow, data, self._terminal))

    def abort(self) -> None:
        """Close the socket."""
        self._kernel.sockets.pop(self.flow, None)
