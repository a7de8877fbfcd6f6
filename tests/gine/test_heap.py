"""The heap of due times against heapq."""

from __future__ import annotations

import heapq

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from hostemu.gine.heap import Heap, heap_length, heap_pop, heap_push
from hostemu.gine.shared import Shared, pointer_maker, shared_type

POP = -1
steps = st.lists(st.integers(POP, 20), max_size=200)

_heap_at = pointer_maker(shared_type(Heap.empty(1)))


@njit  # type: ignore[misc]
def _run_compiled(address: int, steps: np.ndarray) -> list[int]:
    heap = _heap_at(address)
    popped = [0]
    for k in range(len(steps)):
        if steps[k] != POP:
            heap_push(heap, steps[k], k)
        elif heap_length(heap) > 0:
            popped.append(heap_pop(heap))
    return popped[1:]


def _run_plain(steps: list[int]) -> list[int]:
    heap = Heap.empty(len(steps) + 1)
    popped = []
    for k, step in enumerate(steps):
        if step != POP:
            heap_push(heap, step, k)
        elif heap_length(heap) > 0:
            popped.append(heap_pop(heap))
    return popped


def _run_reference(steps: list[int]) -> list[int]:
    heap: list[tuple[int, int]] = []
    popped = []
    for k, step in enumerate(steps):
        if step != POP:
            heapq.heappush(heap, (step, k))
        elif heap:
            popped.append(heapq.heappop(heap)[1])
    return popped


@settings(deadline=None)
@given(steps)
def test_items_come_by_time_and_then_by_their_coming(steps: list[int]) -> None:
    expected = _run_reference(steps)
    assert _run_plain(steps) == expected
    shared = Shared(Heap.empty(len(steps) + 1))
    assert _run_compiled(shared.address, np.array(steps, np.int64)) == expected
