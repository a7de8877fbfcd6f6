"""Virtqueues (VIRTIO 1.2, 2.7), seen from the device: a guest's frames out of its memory, and into it.

A guest is never running while its rings are looked at: it waits for the answer to its kick, or for its clock.
"""

from __future__ import annotations

import numpy as np

from hostemu.gine import libc
from hostemu.gine.frames import SLOT_BYTES, VNET_BYTES, signed
from hostemu.gine.world import NONE, World
from hostemu.lines.compiling import compilable
from hostemu.sim.virtual.tables import QUEUES, REGIONS, RX, Machines

HEADER_BYTES = 12
"""Of virtio_net_hdr with num_buffers: VIRTIO 1.2, 5.1.6."""

TOO_LONG = -2
_DESCRIPTOR_BYTES = 16
_HAS_NEXT = 1
_NO_INTERRUPT = 1


@compilable
def load(machines: Machines, address: int, size: int) -> int:
    """The little-endian number of `size` bytes at an address of this process."""
    machines.number[0] = 0
    libc.memcpy(machines.number.ctypes.data, np.uintp(address), np.uint64(size))
    return signed(machines.number[0])


@compilable
def store(machines: Machines, address: int, size: int, value: int) -> None:
    """Write a little-endian number."""
    machines.number[0] = value
    libc.memcpy(np.uintp(address), machines.number.ctypes.data, np.uint64(size))


@compilable
def here(machines: Machines, guest: int, address: int) -> int:
    """Where a physical address of a guest's is in this process; 0 when it is none of its memory."""
    for k in range(REGIONS * guest, REGIONS * (guest + 1)):
        region = machines.regions[k]
        if 0 <= address - region.first < region.length:
            return int(region.address + address - region.first)
    return 0


@compilable
def next_chain(machines: Machines, guest: int, queue: int) -> int:
    """The head of the next chain that the guest has made available; NONE when there is none."""
    ring = machines.queues[QUEUES * guest + queue]
    if ring.entries == 0 or load(machines, ring.available + 2, 2) == ring.next & 0xFFFF:
        return NONE
    head = load(machines, ring.available + 4 + 2 * (ring.next % ring.entries), 2)
    ring.next += 1
    return head


@compilable
def give_back(machines: Machines, guest: int, queue: int, head: int, written: int) -> None:
    """A chain is the guest's again, with so many bytes written."""
    ring = machines.queues[QUEUES * guest + queue]
    index = load(machines, ring.used + 2, 2)
    entry = ring.used + 4 + 8 * (index % ring.entries)
    store(machines, entry, 4, head)
    store(machines, entry + 4, 4, written)
    store(machines, ring.used + 2, 2, (index + 1) & 0xFFFF)


@compilable
def wants_interrupt(machines: Machines, guest: int, queue: int) -> bool:
    """Whether the guest is to be told of chains that are its own again."""
    ring = machines.queues[QUEUES * guest + queue]
    return load(machines, ring.available, 2) & _NO_INTERRUPT == 0


@compilable
def _descriptor(machines: Machines, guest: int, queue: int, index: int) -> int:
    ring = machines.queues[QUEUES * guest + queue]
    return int(ring.descriptors + _DESCRIPTOR_BYTES * (index % ring.entries))


@compilable
def take_frame(world: World, machines: Machines, guest: int, queue: int, head: int, slot: int) -> int:
    """Copy the frame of a chain into a slot; its length with GINE's header, or TOO_LONG."""
    target = int(world.frames.octets.ctypes.data) + slot * SLOT_BYTES
    at = 0
    index = head
    while True:
        row = _descriptor(machines, guest, queue, index)
        size = load(machines, row + 8, 4)
        source = here(machines, guest, load(machines, row, 8))
        if source == 0 or at + size > SLOT_BYTES:
            return TOO_LONG
        if at < HEADER_BYTES:
            taken = min(size, HEADER_BYTES - at)
            libc.memcpy(machines.header.ctypes.data + np.uintp(at), np.uintp(source), np.uint64(taken))
            source += taken
            size -= taken
            at += taken
        if size > 0:
            libc.memcpy(np.uintp(target + VNET_BYTES + at - HEADER_BYTES), np.uintp(source), np.uint64(size))
            at += size
        if load(machines, row + 12, 2) & _HAS_NEXT == 0:
            break
        index = load(machines, row + 14, 2)
    libc.memcpy(np.uintp(target), machines.header.ctypes.data, np.uint64(VNET_BYTES))
    return VNET_BYTES + at - HEADER_BYTES


@compilable
def put_frame(world: World, machines: Machines, guest: int, slot: int) -> int:
    """Copy the frame in a slot into the guest's next buffer; bytes written, NONE without a buffer, or TOO_LONG."""
    head = next_chain(machines, guest, RX)
    if head == NONE:
        return NONE
    source = int(world.frames.octets.ctypes.data) + slot * SLOT_BYTES
    total = HEADER_BYTES + int(world.frames.length[slot]) - VNET_BYTES
    machines.header[:] = 0
    libc.memcpy(machines.header.ctypes.data, np.uintp(source), np.uint64(VNET_BYTES))
    machines.header[VNET_BYTES] = 1  # num_buffers
    at = 0
    index = head
    while at < total:
        row = _descriptor(machines, guest, RX, index)
        room = load(machines, row + 8, 4)
        target = here(machines, guest, load(machines, row, 8))
        if target == 0:
            break
        if at < HEADER_BYTES:
            put = min(room, HEADER_BYTES - at)
            libc.memcpy(np.uintp(target), machines.header.ctypes.data + np.uintp(at), np.uint64(put))
            target += put
            room -= put
            at += put
        put = min(room, total - at)
        if put > 0:
            libc.memcpy(np.uintp(target), np.uintp(source + VNET_BYTES + at - HEADER_BYTES), np.uint64(put))
            at += put
        if load(machines, row + 12, 2) & _HAS_NEXT == 0:
            break
        index = load(machines, row + 14, 2)
    written = at if at == total else 0
    give_back(machines, guest, RX, head, written)
    return written if written else TOO_LONG
