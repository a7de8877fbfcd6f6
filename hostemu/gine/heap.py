"""A binary heap of moments: what is due first comes first, and what is due together in the order of its coming."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hostemu.lines.compiling import compilable

Integers = npt.NDArray[np.int64]


class Heap(NamedTuple):
    """Rows [0, count) of three parallel columns; `size` holds count and the number of pushes so far."""

    due_ns: Integers
    order: Integers
    item: Integers
    size: Integers

    @staticmethod
    def empty(capacity: int) -> Heap:
        """A heap for at most `capacity` items at a time."""
        due_ns, order, item = np.zeros((3, capacity), np.int64)
        return Heap(due_ns, order, item, np.zeros(2, np.int64))


@compilable
def heap_length(heap: Heap) -> int:
    """How many items wait."""
    return int(heap.size[0])


@compilable
def heap_push(heap: Heap, due_ns: int, item: int) -> None:
    """Add an item; the caller keeps to the capacity."""
    at = heap.size[0]
    order = heap.size[1]
    heap.size[0] = at + 1
    heap.size[1] = order + 1
    while at > 0:
        parent = (at - 1) >> 1
        if heap.due_ns[parent] <= due_ns:  # an older item with the same moment goes first
            break
        _move(heap, parent, at)
        at = parent
    _place(heap, at, due_ns, order, item)


@compilable
def heap_pop(heap: Heap) -> int:
    """Remove and return the first item; the caller knows that there is one."""
    first = heap.item[0]
    last = heap.size[0] - 1
    heap.size[0] = last
    due_ns = heap.due_ns[last]
    order = heap.order[last]
    at = 0
    while 2 * at + 1 < last:
        child = 2 * at + 1
        if child + 1 < last and _row_precedes(heap, child + 1, heap.due_ns[child], heap.order[child]):
            child += 1
        if not _row_precedes(heap, child, due_ns, order):
            break
        _move(heap, child, at)
        at = child
    _place(heap, at, due_ns, order, heap.item[last])
    return int(first)


@compilable
def _row_precedes(heap: Heap, row: int, due_ns: int, order: int) -> bool:
    return bool(heap.due_ns[row] < due_ns or (heap.due_ns[row] == due_ns and heap.order[row] < order))


@compilable
def _move(heap: Heap, source: int, target: int) -> None:
    _place(heap, target, heap.due_ns[source], heap.order[source], heap.item[source])


@compilable
def _place(heap: Heap, row: int, due_ns: int, order: int, item: int) -> None:
    heap.due_ns[row] = due_ns
    heap.order[row] = order
    heap.item[row] = item
