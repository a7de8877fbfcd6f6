from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hostemu.base.streams import MASK64, Stream, draw_u64, draw_uniform, mix64

KEYS = st.integers(0, MASK64)
COUNTERS = st.integers(0, 2**63)

PUBLISHED_SEED = 1234567
PUBLISHED = (
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
)
"""First outputs of SplitMix64 for that seed, as printed by the reference implementation in C."""

NAMED_KEY = 25239534382309513
NAMED_FIRST_DRAW = 3801239782535737109
NAMED_OCTETS = "022c671a45"
"""Of the stream (1, "terminal", 7)."""


def test_draws_are_the_published_splitmix64_sequence() -> None:
    assert tuple(draw_u64(PUBLISHED_SEED, counter) for counter in range(5)) == PUBLISHED
    assert tuple(Stream(PUBLISHED_SEED).u64(counter) for counter in range(5)) == PUBLISHED


def test_a_uniform_draw_is_the_upper_53_bits_of_the_integer_draw() -> None:
    assert draw_uniform(PUBLISHED_SEED, 0) == (PUBLISHED[0] >> 11) / 2**53
    assert Stream(PUBLISHED_SEED).uniform(3) == (PUBLISHED[3] >> 11) / 2**53


@given(key=KEYS, counter=COUNTERS)
def test_draws_stay_in_their_ranges(key: int, counter: int) -> None:
    assert 0 <= draw_u64(key, counter) <= MASK64
    assert 0.0 <= draw_uniform(key, counter) < 1.0


@given(st.integers(0, MASK64))
def test_the_finaliser_can_be_undone(value: int) -> None:
    assert _unmix64(mix64(value)) == value


def _unmix64(value: int) -> int:
    for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
        value = _unshift(value, shift) * pow(factor, -1, 1 << 64) & MASK64
    return value


def _unshift(value: int, shift: int) -> int:
    """Undo value ^ (value >> shift): each pass mends `shift` more bits."""
    mended = value
    for _ in range(64 // shift):
        mended = value ^ (mended >> shift)
    return mended


def test_uniform_draws_are_uniform() -> None:
    stream = Stream.named(20080319, "uniformity")
    draws = [stream.uniform(counter) for counter in range(50_000)]
    counts = np.bincount([int(draw * 100) for draw in draws], minlength=100)
    assert stats.chisquare(counts).pvalue > 0.001


def test_each_bit_of_the_integer_draws_is_set_half_of_the_time() -> None:
    stream = Stream.named(1, "bits")
    draws = [stream.u64(counter) for counter in range(4_000)]
    ones = [sum(draw >> bit & 1 for draw in draws) for bit in range(64)]
    assert all(stats.binomtest(count, 4_000).pvalue > 1e-5 for count in ones)


def test_successive_draws_do_not_depend_on_each_other() -> None:
    stream = Stream.named(2, "pairs")
    cells = [int(stream.uniform(counter) * 8) for counter in range(40_000)]
    table = np.zeros((8, 8), dtype=int)
    for left, right in pairwise(cells):
        table[left, right] += 1
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_streams_of_neighbouring_names_do_not_depend_on_each_other() -> None:
    """The first draws of 2000 terminals look like those of one stream, and two names' draws do not go together."""
    first = [Stream.named(7, "terminal", index).uniform(0) for index in range(2_000)]
    second = [Stream.named(7, "terminal", index + 1).uniform(0) for index in range(2_000)]
    other = [Stream.named(7, "off_time", index).uniform(0) for index in range(2_000)]
    assert stats.kstest(first, "uniform").pvalue > 0.001
    assert stats.pearsonr(first, second).pvalue > 0.001
    assert stats.pearsonr(first, other).pvalue > 0.001


def test_the_key_depends_on_seed_and_on_every_part_of_the_name() -> None:
    streams = [
        Stream.named(1, "terminal", 1),
        Stream.named(2, "terminal", 1),
        Stream.named(1, "terminal", 2),
        Stream.named(1, "terminal", 1, 1),
        Stream.named(1, "terminal1"),
        Stream.named(1, 1, "terminal"),
        Stream.named(11, "terminal"),
        Stream.named(1, "1terminal"),
        Stream.named(1),
    ]
    assert len({stream.key for stream in streams}) == len(streams)


def test_a_named_stream_never_changes() -> None:
    """Results of earlier runs are reproducible only as long as these numbers stay."""
    stream = Stream.named(1, "terminal", 7)
    assert stream.key == NAMED_KEY
    assert stream.u64(0) == NAMED_FIRST_DRAW
    assert stream.octets(0, 5).hex() == NAMED_OCTETS


@given(
    key=KEYS,
    counter=COUNTERS,
    low=st.integers(-(2**40), 2**40),
    width=st.one_of(st.integers(0, 5), st.integers(0, 2**52)),
)
def test_between_keeps_its_bounds(key: int, counter: int, low: int, width: int) -> None:
    assert low <= Stream(key).between(counter, low, low + width) <= low + width


def test_between_reaches_both_bounds_and_all_values_alike() -> None:
    stream = Stream.named(3, "dice")
    counts = Counter(stream.between(counter, -2, 3) for counter in range(12_000))
    assert set(counts) == {-2, -1, 0, 1, 2, 3}
    assert stats.chisquare(list(counts.values())).pvalue > 0.001


def test_between_gives_the_upper_bound_for_the_greatest_draw_even_of_a_wide_range(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hostemu.base.streams.draw_u64", lambda key, counter: MASK64)
    for width in (0, 1, 9, 10**9, 2**52 + 1):
        assert Stream(0).between(0, 5, 5 + width) == 5 + width


@given(key=KEYS, counter=COUNTERS, length=st.integers(0, 100))
def test_octets_have_the_asked_length_and_begin_alike(key: int, counter: int, length: int) -> None:
    octets = Stream(key).octets(counter, length)
    assert len(octets) == length
    assert Stream(key).octets(counter, 100).startswith(octets)


def test_octets_of_different_counters_differ() -> None:
    stream = Stream.named(4, "nonce")
    nonces = {stream.octets(counter, 16) for counter in range(5_000)}
    assert len(nonces) == 5_000


def test_octets_are_uniform() -> None:
    data = b"".join(Stream.named(5, "octets").octets(counter, 16) for counter in range(4_000))
    assert stats.chisquare(np.bincount(np.frombuffer(data, dtype=np.uint8), minlength=256)).pvalue > 0.001
