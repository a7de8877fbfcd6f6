"""The calendar's loop: windows of time in which all guests run at once and nobody can disturb another.

What a guest sends in a window arrives at no guest before its end, since every way between two guests takes at least
`lookahead_ns`.  So in each window [T, W):

1. frames on their way are moved, as far as they can reach a guest before W; others wait, so that frames enter each
   line in the order of time;
2. guests run up to W, all at once;
3. what they have sent enters their lines, and everything is moved up to W.
"""

from __future__ import annotations

import numpy as np

from hostemu import gine
from hostemu.gine import libc
from hostemu.gine.frames import (
    DESTINATION_MAC,
    ETHERTYPE,
    IPV4,
    IPV6,
    NETWORK,
    VNET_BYTES,
    get16,
    get32,
    get_half,
    get_mac,
    mapped_v4,
)
from hostemu.gine.gso import MALFORMED, count_packets
from hostemu.gine.heap import heap_length, heap_pop, heap_push
from hostemu.gine.loop import TICK_NS
from hostemu.gine.router import router_input, tick_routers
from hostemu.gine.routes import find_route
from hostemu.gine.simulated import serve_simulated, take_in
from hostemu.gine.switch import find_mac, mac_key, switch_input
from hostemu.gine.transmit import release, take_due, transmit
from hostemu.gine.world import CONNECTED, GATEWAY, NONE, TO_PORT, TO_SWITCH, World, world_at
from hostemu.lines.compiling import compilable, compiled_with
from hostemu.sim.virtual.desk import arrivals, has_arrived, next_moment, receive, sleep_until_arrival, step
from hostemu.sim.virtual.tables import FOREVER_NS, Machines, machines_at

DONE, SILENT, TRACE_FULL, ENDED = range(4)
"""What `advance` has come to."""

PATIENCE_MS = 100
"""How long it waits for guests before it looks whether they are still there."""

SENT, CAME = range(2)
_FNV_OFFSET, _FNV_PRIME = np.uint64(0xCBF29CE484222325), np.uint64(0x100000001B3)


@compilable
def note(world: World, machines: Machines, port: int, way: int, slot: int, at_ns: int) -> None:
    """Write a frame into the trace, if there is one."""
    calendar = machines.calendar[0]
    if calendar.is_traced == 0:
        return
    octets = world.frames.octets[slot]
    mixed = _FNV_OFFSET
    for k in range(world.frames.length[slot]):
        mixed = (mixed ^ np.uint64(octets[k])) * _FNV_PRIME
    row = machines.trace[calendar.traced]
    row.at_ns = at_ns
    row.port = port
    row.way = way
    row.bytes = world.frames.length[slot]
    row.hash = mixed
    calendar.traced += 1


@compilable
def _to_guest(world: World, machines: Machines, port: int, slot: int, at_ns: int) -> None:
    """Lay a frame before its guest, which takes it when its clock is there."""
    if world.ports[port].call != 0:
        take_in(world, port, slot, at_ns)
        return
    guest = machines.guests[machines.guest_of[port]]
    row = world.ports[port]
    row.packets_written += world.frames.packets[slot]
    row.bytes_written += world.frames.length[slot] - VNET_BYTES
    world.state[0].frames_written += 1
    note(world, machines, port, CAME, slot, at_ns)
    machines.at_ns[slot] = at_ns
    machines.port[slot] = port
    machines.following[slot] = NONE
    if guest.over:
        release(world, slot)
    elif guest.first == NONE:
        guest.first = slot
        guest.last = slot
    else:
        machines.following[guest.last] = slot
        guest.last = slot


@compilable
def _arrive(world: World, machines: Machines) -> None:
    """The first frame of the heap has come to the end of its line."""
    due_ns = world.heap.due_ns[0]
    slot = take_due(world)
    line_id = world.frames.line[slot]
    hop = world.hops[line_id]
    if hop.kind == TO_PORT:
        _to_guest(world, machines, hop.node, slot, due_ns)
    elif hop.kind == TO_SWITCH:
        switch_input(world, hop.node, line_id, slot, due_ns)
    else:
        router_input(world, hop.node, slot, due_ns)


@compilable
def _leaves_by(world: World, slot: int, due_ns: int) -> int:
    """The line that a frame at the end of its own will enter, if it enters just one and that is known; else NONE."""
    octets = world.frames.octets[slot]
    line_id = world.frames.line[slot]
    hop = world.hops[line_id]
    if hop.kind == TO_SWITCH:
        return int(find_mac(world, mac_key(hop.node, get_mac(octets, DESTINATION_MAC)), due_ns))
    own = world.interfaces[hop.node]
    if get_mac(octets, DESTINATION_MAC) != own.mac or world.frames.length[slot] < NETWORK + 40:
        return NONE
    protocol = get16(octets, ETHERTYPE)
    if protocol == IPV4:
        route_id = find_route(world, own.router, np.uint64(0), mapped_v4(get32(octets, NETWORK + 16)))
    elif protocol == IPV6:
        route_id = find_route(world, own.router, get_half(octets, NETWORK + 24), get_half(octets, NETWORK + 32))
    else:
        return NONE
    if route_id == NONE or world.routes[route_id].kind not in (CONNECTED, GATEWAY):
        return NONE
    return int(world.interfaces[world.routes[route_id].interface].line)


@compilable
def _can_wait(world: World, window_end_ns: int) -> bool:
    """Whether the first frame of the heap cannot reach a guest in this window, and goes on by a line."""
    due_ns = world.heap.due_ns[0]
    slot = world.heap.item[0]
    if world.hops[world.frames.line[slot]].kind == TO_PORT:
        return False
    line_id = _leaves_by(world, slot, due_ns)
    return line_id != NONE and due_ns + world.lines[line_id].delay_ns >= window_end_ns


@compilable
def _first_ns(world: World) -> int:
    """When a frame comes to the end of its line, or a simulated host is to be called, next."""
    first_ns = world.state[0].simulated_ns
    if heap_length(world.heap) > 0:
        first_ns = min(first_ns, world.heap.due_ns[0])
    return int(first_ns)


@compilable
def _is_simulated_first(world: World) -> bool:
    return heap_length(world.heap) == 0 or world.state[0].simulated_ns < world.heap.due_ns[0]


@compilable
def _serve_simulated(world: World) -> None:
    serve_simulated(world, int(world.state[0].simulated_ns))


@compilable
def _move_early(world: World, machines: Machines, window_end_ns: int) -> None:
    """Move what can reach a guest before the window's end."""
    waiting = 0
    while _first_ns(world) < window_end_ns:
        if _is_simulated_first(world):
            _serve_simulated(world)
        elif _can_wait(world, window_end_ns):
            machines.stash_ns[waiting] = world.heap.due_ns[0]
            machines.stash[waiting] = heap_pop(world.heap)
            waiting += 1
        else:
            _arrive(world, machines)
    for k in range(waiting):
        heap_push(world.heap, machines.stash_ns[k], machines.stash[k])


@compilable
def _send_all(world: World, machines: Machines) -> None:
    """Put what guests have sent on their lines."""
    for k in range(len(machines.guests)):
        guest = machines.guests[k]
        slot = guest.sent_first
        while slot != NONE:
            following = machines.following[slot]
            _send_off(world, machines, slot)
            slot = following
        guest.sent_first = NONE
        guest.sent_last = NONE


@compilable
def _move_rest(world: World, machines: Machines) -> None:
    """Move everything up to the window's end."""
    calendar = machines.calendar[0]
    while _first_ns(world) < calendar.window_end_ns:
        if _is_simulated_first(world):
            _serve_simulated(world)
        else:
            _arrive(world, machines)


@compilable
def _send_off(world: World, machines: Machines, slot: int) -> None:
    port = int(machines.port[slot])
    row = world.ports[port]
    at_ns = machines.at_ns[slot]
    note(world, machines, port, SENT, slot, at_ns)
    world.state[0].frames_read += 1
    machines.calendar[0].frames_sent += 1
    packets = count_packets(world.frames.octets[slot], world.frames.length[slot])
    if packets == MALFORMED:
        row.malformed += 1
        release(world, slot)
        return
    world.frames.packets[slot] = packets
    row.packets_read += packets
    row.bytes_read += world.frames.length[slot] - VNET_BYTES
    transmit(world, row.line, slot, at_ns)


@compilable
def _end(world: World, machines: Machines, guest_id: int) -> None:
    """A guest is over: nothing more is to come of it, nor to it."""
    guest = machines.guests[guest_id]
    guest.over = 1
    guest.req_ns = FOREVER_NS
    if guest.parked == 0:
        guest.parked = 1
        machines.calendar[0].active -= 1
    while guest.first != NONE:
        release(world, guest.first)
        guest.first = machines.following[guest.first]
    guest.last = NONE


@compilable
def _look_for_ends(world: World, machines: Machines) -> int:
    """Whether clocks have lost their guests: ENDED, or DONE."""
    epoll = np.int32(machines.calendar[0].epoll)
    events = machines.events
    said = DONE
    for k in range(libc.epoll_wait(epoll, events.ctypes.data, np.int32(len(events)), np.int32(0))):
        fd = int(events[k, libc.EPOLL_DATA_WORD])
        libc.epoll_ctl(epoll, libc.EPOLL_CTL_DEL, np.int32(fd), np.uintp(0))
        guest_id = machines.by_fd[fd]
        machines.by_fd[fd] = NONE
        if guest_id != NONE and machines.guests[guest_id].over == 0:
            _end(world, machines, guest_id)
            said = ENDED
    return said


@compilable
def _hear(world: World, machines: Machines) -> bool:
    """Serve all guests that have handed their desks over; whether there were any."""
    found = False
    for k in range(len(machines.guests)):
        if has_arrived(machines, k):
            found = True
            if receive(world, machines, k):
                step(world, machines, k)
    return found


@compilable
def _serve(world: World, machines: Machines) -> int:
    """Hear guests until all of them are parked: DONE, or what `advance` is to say."""
    calendar = machines.calendar[0]
    idle = 0
    silent_ms = 0
    while calendar.active > 0:
        seen = arrivals(machines)
        if _hear(world, machines):
            idle = 0
            silent_ms = 0
        elif idle < calendar.spins:
            idle += 1
        else:
            sleep_until_arrival(machines, seen, PATIENCE_MS)
            if arrivals(machines) != seen:
                continue
            if _look_for_ends(world, machines) == ENDED:
                return ENDED
            silent_ms += PATIENCE_MS
            if silent_ms >= calendar.silent_ms:
                return SILENT
    return DONE


@compilable
def _next_ns(world: World, machines: Machines) -> int:
    """When something happens next, if nothing is done."""
    first_ns = FOREVER_NS
    for k in range(len(machines.guests)):
        if machines.guests[k].over == 0:
            first_ns = min(first_ns, next_moment(machines, k))
    first_ns = min(first_ns, _first_ns(world))
    if world.state[0].asking > 0:
        first_ns = min(first_ns, world.state[0].next_tick_ns)
    return int(first_ns)


@compilable
def _open_window(world: World, machines: Machines, at_ns: int, until_ns: int) -> None:
    calendar = machines.calendar[0]
    state = world.state[0]
    calendar.now_ns = at_ns
    calendar.window_end_ns = min(at_ns + calendar.lookahead_ns, until_ns)
    calendar.windows += 1
    calendar.is_open = 1
    if state.next_tick_ns <= at_ns:
        tick_routers(world, at_ns)
        state.next_tick_ns = at_ns + TICK_NS
    _move_early(world, machines, calendar.window_end_ns)
    for k in range(len(machines.guests)):
        guest = machines.guests[k]
        if guest.over == 0 and guest.parked and next_moment(machines, k) < calendar.window_end_ns:
            guest.parked = 0
            calendar.active += 1
            step(world, machines, k)


@compiled_with(gine)
def advance(world_address: int, machines_address: int, until_ns: int) -> int:
    """Play up to `until_ns`, which all guests' clocks then have reached: DONE; or the reason to return before.

    It goes on where it was when it is called again.
    """
    world = world_at(world_address)
    machines = machines_at(machines_address)
    calendar = machines.calendar[0]
    if _look_for_ends(world, machines) == ENDED:
        return ENDED
    while True:
        said = _serve(world, machines)
        if said != DONE:
            return said
        _send_all(world, machines)  # also what a guest sends while it boots, before any window
        if calendar.is_open:
            _move_rest(world, machines)
            calendar.is_open = 0
        if len(machines.trace) - calendar.traced < 2 * len(machines.following):  # a slot is sent and comes
            return TRACE_FULL
        at_ns = max(calendar.now_ns, _next_ns(world, machines))
        if at_ns >= until_ns:
            calendar.now_ns = max(calendar.now_ns, until_ns)
            return DONE
        _open_window(world, machines, at_ns, until_ns)
