"""The line model: exact in rate, queue and delay; the same compiled and plain; its counters always add up."""

from __future__ import annotations

from dataclasses import astuple
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from hostemu.base.errors import InputError
from hostemu.base.streams import draw_uniform
from hostemu.lines import (
    DROPPED,
    LINE,
    LOST,
    Line,
    LineSpec,
    LineState,
    bytes_on_wire,
    deliver,
    line_key,
    offer,
)

specs = st.builds(
    LineSpec,
    rate_bps=st.none() | st.integers(1, 10**11),
    queue_bytes=st.none() | st.integers(0, 10**6),
    delay_ns=st.integers(0, 10**10),
    loss=st.sampled_from([0.0, 0.01, 0.5, 1.0]),
)
packets = st.lists(st.tuples(st.integers(0, 10**7), st.integers(84, 1538)), max_size=60)


@njit  # type: ignore[misc]
def _compiled_offers(lines: np.ndarray, times_ns: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    dues = np.zeros(len(times_ns), np.int64)
    for k in range(len(times_ns)):
        dues[k] = offer(lines[0], times_ns[k], sizes[k])
        if dues[k] >= 0:
            deliver(lines[0], 1, sizes[k])
    return dues


@njit  # type: ignore[misc]
def _compiled_draw(key: Any, counter: int) -> float:
    return draw_uniform(key, counter)


def times_of(gaps: list[tuple[int, int]]) -> list[int]:
    return [sum(gap for gap, _ in gaps[: k + 1]) for k in range(len(gaps))]


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**62))
def test_the_compiled_draw_is_the_plain_draw(key: int, counter: int) -> None:
    assert _compiled_draw(np.uint64(key), counter) == draw_uniform(key, counter)


@settings(max_examples=200, deadline=None)
@given(specs, packets, st.integers(0, 2**64 - 1))
def test_compiled_and_plain_lines_agree_in_every_number(
    spec: LineSpec, gaps: list[tuple[int, int]], key: int
) -> None:
    times_ns, sizes = times_of(gaps), [size for _, size in gaps]
    plain = LineState.of(spec, key)
    record = np.zeros(1, LINE).view(np.recarray)
    record[0] = astuple(plain)
    dues = _compiled_offers(record, np.array(times_ns, np.int64), np.array(sizes, np.int64))
    for due_ns, now_ns, size in zip(dues, times_ns, sizes, strict=True):
        assert offer(plain, now_ns, size) == due_ns
        if due_ns >= 0:
            deliver(plain, 1, size)
    assert tuple(record[0].item()) == astuple(plain)


@given(specs, packets)
def test_counters_add_up_and_arrivals_never_overtake(spec: LineSpec, gaps: list[tuple[int, int]]) -> None:
    line = Line(spec, 7)
    results = [line.offer(now, size) for now, (_, size) in zip(times_of(gaps), gaps, strict=True)]
    arrivals = [due for due in results if due >= 0]
    assert arrivals == sorted(set(arrivals))
    for due, size in list(zip(results, [size for _, size in gaps], strict=True))[::2]:
        if due >= 0:
            line.deliver(size)
    counted = line.counters()
    assert counted.frames_in == len(gaps)
    assert counted.frames_lost == results.count(LOST)
    assert counted.frames_dropped == results.count(DROPPED)
    assert counted.frames_out == sum(due >= 0 for due in results[::2])
    assert counted.frames_in_flight == sum(due >= 0 for due in results[1::2])
    assert counted.bytes_in_flight == sum(
        size for due, (_, size) in zip(results[1::2], gaps[1::2], strict=True) if due >= 0
    )


@given(st.integers(1, 10**11), packets, st.integers(0, 10**9))
def test_serialisation_is_exact_and_does_not_drift(rate_bps: int, gaps: list[tuple[int, int]], delay_ns: int) -> None:
    line = Line(LineSpec(rate_bps=rate_bps, delay_ns=delay_ns), 0)
    free, last = Fraction(0), -1
    for now_ns, (_, size) in zip(times_of(gaps), gaps, strict=True):
        free = max(free, Fraction(now_ns)) + Fraction(size * 8 * 10**9, rate_bps)
        last = max(-(-free.numerator // free.denominator) + delay_ns, last + 1)
        assert line.offer(now_ns, size) == last


@given(st.integers(1, 10**11), st.integers(0, 20_000), packets)
def test_the_queue_takes_what_fits_and_nothing_more(
    rate_bps: int, queue_bytes: int, gaps: list[tuple[int, int]]
) -> None:
    line = Line(LineSpec(rate_bps=rate_bps, queue_bytes=queue_bytes), 0)
    free = Fraction(0)
    for now_ns, (_, size) in zip(times_of(gaps), gaps, strict=True):
        backlog = (free - now_ns) * rate_bps / (8 * 10**9)
        full = backlog > 0 and backlog + size > queue_bytes
        assert (line.offer(now_ns, size) == DROPPED) == full
        if not full:
            free = max(free, Fraction(now_ns)) + Fraction(size * 8 * 10**9, rate_bps)


def test_an_ideal_line_only_delays() -> None:
    line = Line(LineSpec(delay_ns=5_000_000), 0)
    assert [line.offer(now, 1538) for now in (0, 0, 10)] == [5_000_000, 5_000_001, 5_000_010]


def test_loss_is_near_its_probability_and_the_same_again() -> None:
    runs = []
    for _ in range(2):
        line = Line(LineSpec(loss=0.1), line_key(1, "isp-0", "forward"))
        runs.append([line.offer(k, 100) == LOST for k in range(20_000)])
    assert runs[0] == runs[1]
    assert sum(runs[0]) == pytest.approx(2000, abs=5 * (20_000 * 0.1 * 0.9) ** 0.5)


def test_lines_and_directions_draw_from_streams_of_their_own() -> None:
    keys = {line_key(seed, name, way) for seed in (1, 2) for name in "ab" for way in ("forward", "backward")}
    assert len(keys) == 8


def test_short_frames_are_padded_on_the_wire() -> None:
    assert [bytes_on_wire(size) for size in (14, 60, 61, 1514)] == [84, 84, 85, 1538]


@pytest.mark.parametrize(
    "values",
    [
        {"rate_bps": 0},
        {"rate_bps": 1.5},
        {"rate_bps": True},
        {"queue_bytes": -1},
        {"queue_bytes": 2**30},
        {"delay_ns": -1},
        {"delay_ns": None},
        {"delay_ns": 0.5},
        {"loss": -0.1},
        {"loss": 1.1},
        {"loss": float("nan")},
        {"loss": "1 %"},
    ],
)
def test_values_that_are_no_line_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        LineSpec(**values)
    assert caught.value.found is not None
