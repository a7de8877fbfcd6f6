"""Hosts, their lines and the router between them: every frame goes over two lines, each played by the line model."""

from __future__ import annotations

from collections.abc import Callable

from hostemu.lines import DROPPED, LOST, Line, LineSpec, bytes_on_wire, line_key
from hostemu.sim.clock import Clock
from hostemu.sim.cpu import Queue
from hostemu.sim.packets import Datagram, PortUnreachable, Segment

Body = Segment | Datagram | PortUnreachable


class Packet:
    """One frame on its way."""

    __slots__ = ("body", "source", "target", "wire_bytes")

    def __init__(self, source: Host, target: Host, body: Body) -> None:
        self.source = source
        self.target = target
        self.body = body
        self.wire_bytes = bytes_on_wire(body.frame_bytes)


class Host:
    """A host at the end of a line.  up: towards the router; down: towards the host.

    receive: what its kernel does with a packet that arrives; set by the kernel.
    Counters are of its NIC: bytes of frames, without what Ethernet adds on the wire.
    """

    def __init__(self, name: str, line: str, up: LineSpec, down: LineSpec, seed: int) -> None:
        self.name = name
        self.line = line
        self.up = Line(up, line_key(seed, line, "forward"))
        self.down = Line(down, line_key(seed, line, "backward"))
        self.receive: Callable[[Packet], None]
        self.rx_frames = self.tx_frames = self.rx_bytes = self.tx_bytes = 0


class Network:
    """The router, with a line to every host.

    queue: of the frames that wait for who forwards them.  frame_cost_ns: CPU time of each.
    """

    def __init__(self, clock: Clock, queue: Queue, frame_cost_ns: int) -> None:
        self.queue = queue
        self._clock = clock
        self._frame_cost_ns = frame_cost_ns

    def send(self, source: Host, target: Host, body: Body) -> None:
        """Offer a packet to its sender's line."""
        packet = Packet(source, target, body)
        source.tx_frames += 1
        source.tx_bytes += body.frame_bytes
        due_ns = source.up.offer(self._clock.now_ns, packet.wire_bytes)
        if self._clock.is_traced:
            self._note(f"{source.line}>", packet, due_ns)
        if due_ns >= 0:
            self._clock.at(due_ns, self._at_router, packet)

    def _at_router(self, packet: Packet) -> None:
        packet.source.up.deliver(packet.wire_bytes)
        if not self._frame_cost_ns:
            self._forward(packet)
        elif not self.queue.offer(self._frame_cost_ns, self._forward, packet):
            self._clock.note("router", f"{packet.body.describe()} {packet.wire_bytes} B no room")

    def _forward(self, packet: Packet) -> None:
        target = packet.target
        due_ns = target.down.offer(self._clock.now_ns, packet.wire_bytes)
        if self._clock.is_traced:
            self._note(f"{target.line}<", packet, due_ns)
        if due_ns >= 0:
            self._clock.at(due_ns, self._arrive, packet)

    def _arrive(self, packet: Packet) -> None:
        target = packet.target
        target.down.deliver(packet.wire_bytes)
        target.rx_frames += 1
        target.rx_bytes += packet.body.frame_bytes
        target.receive(packet)

    def _note(self, place: str, packet: Packet, due_ns: int) -> None:
        fate = {LOST: "lost", DROPPED: "dropped"}.get(due_ns, f"due {due_ns}")
        self._clock.note(place, f"{packet.body.describe()} {packet.wire_bytes} B {fate}")
