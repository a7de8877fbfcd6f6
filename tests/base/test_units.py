from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.base.units import (
    DURATION_NS,
    RATE_BPS,
    SIZE_BYTES,
    format_duration_ns,
    format_rate_bps,
    format_size_bytes,
    parse_duration_ns,
    parse_rate_bps,
    parse_size_bytes,
)

PARSERS = (parse_duration_ns, parse_rate_bps, parse_size_bytes)
PAIRS = (
    (format_duration_ns, parse_duration_ns),
    (format_rate_bps, parse_rate_bps),
    (format_size_bytes, parse_size_bytes),
)


@pytest.mark.parametrize(("write", "read"), PAIRS)
@given(value=st.integers(0, 2**63))
def test_what_is_written_reads_back_exactly(
    write: Callable[[int], str], read: Callable[[str], int], value: int
) -> None:
    assert read(write(value)) == value


@pytest.mark.parametrize(
    ("text", "value_ns"),
    [
        ("1 ns", 1),
        ("1us", 1_000),
        ("1 µs", 1_000),
        ("10 ms", 10_000_000),
        (" 2.5 s ", 2_500_000_000),
        ("1e-3 s", 1_000_000),
        ("2E3 ms", 2_000_000_000),
        ("1.5 min", 90_000_000_000),
        ("2 h", 7_200_000_000_000),
        ("0 s", 0),
        ("0.1 us", 100),
        ("0.30000000000000001 ms", 300_000),
    ],
)
def test_durations_are_read_to_the_nanosecond(text: str, value_ns: int) -> None:
    assert parse_duration_ns(text) == value_ns


@pytest.mark.parametrize(
    ("text", "value_bps"),
    [
        ("64 kbit", 64_000),
        ("64 Kbit", 64_000),
        ("100 Mbit", 100_000_000),
        ("100 Mbit/s", 100_000_000),
        ("2.5 Gbitps", 2_500_000_000),
        ("56000 bit/s", 56_000),
    ],
)
def test_rates_are_bits_in_powers_of_1000(text: str, value_bps: int) -> None:
    assert parse_rate_bps(text) == value_bps


@pytest.mark.parametrize(
    ("text", "value_bytes"),
    [("7 B", 7), ("1 kB", 1_000), ("1 KB", 1_000), ("1 KiB", 1_024), ("32 MiB", 32 << 20), ("1.5 GiB", 3 << 29)],
)
def test_sizes_tell_decimal_from_binary_prefixes(text: str, value_bytes: int) -> None:
    assert parse_size_bytes(text) == value_bytes


def test_every_unit_has_its_factor() -> None:
    assert DURATION_NS == {
        "ns": 1,
        "us": 1_000,
        "µs": 1_000,
        "ms": 1_000_000,
        "s": 1_000_000_000,
        "min": 60_000_000_000,
        "h": 3_600_000_000_000,
    }
    bits = {"bit": 1, "kbit": 1_000, "Kbit": 1_000, "Mbit": 1_000_000, "Gbit": 1_000_000_000}
    assert {unit + per: factor for unit, factor in bits.items() for per in ("", "/s", "ps")} == RATE_BPS
    assert SIZE_BYTES == {
        "B": 1,
        "kB": 1_000,
        "KB": 1_000,
        "MB": 1_000_000,
        "GB": 1_000_000_000,
        "KiB": 1_024,
        "MiB": 1_048_576,
        "GiB": 1_073_741_824,
    }


@pytest.mark.parametrize(
    ("write", "value", "text"),
    [
        (format_duration_ns, 60_000_000_000, "60 s"),
        (format_duration_ns, 1_500_000_000, "1500 ms"),
        (format_duration_ns, 10_000_000, "10 ms"),
        (format_duration_ns, 7_000, "7 us"),
        (format_duration_ns, 1, "1 ns"),
        (format_duration_ns, 0, "0 ns"),
        (format_rate_bps, 3_000_000_000, "3 Gbit"),
        (format_rate_bps, 100_000_000, "100 Mbit"),
        (format_rate_bps, 64_000, "64 kbit"),
        (format_rate_bps, 1_001, "1001 bit"),
        (format_size_bytes, 2 << 30, "2 GiB"),
        (format_size_bytes, 32 << 20, "32 MiB"),
        (format_size_bytes, 5 << 10, "5 KiB"),
        (format_size_bytes, 1_000, "1000 B"),
    ],
)
def test_quantities_are_written_in_the_largest_unit_that_is_whole(
    write: Callable[[int], str], value: int, text: str
) -> None:
    assert write(value) == text


@pytest.mark.parametrize("parse", PARSERS)
@pytest.mark.parametrize(
    "text",
    ["", "10", "ms", "-1 s", "-1 B", "1,5 s", "1 2 s", "1.s", ".5 s", "0x10 B", "1 parsec", "inf s", "nan B", "١ s"],
)
def test_what_is_no_quantity_is_refused(parse: Callable[[str], int], text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    assert caught.value.found == repr(text)


@pytest.mark.parametrize(
    ("parse", "text", "units", "example"),
    [
        (parse_duration_ns, "10 Mbit", DURATION_NS, "'10 ms'"),
        (parse_rate_bps, "10 ms", RATE_BPS, "'100 Mbit'"),
        (parse_rate_bps, "10 MB", RATE_BPS, "'100 Mbit'"),
        (parse_size_bytes, "10 mb", SIZE_BYTES, "'32 MiB'"),
    ],
)
def test_a_wrong_unit_is_answered_with_the_right_ones_and_an_example(
    parse: Callable[[str], int], text: str, units: dict[str, int], example: str
) -> None:
    with pytest.raises(InputError) as caught:
        parse(text)
    expected = caught.value.expected or ""
    assert all(unit in expected for unit in units)
    assert example in expected
    assert repr(text) in str(caught.value)


@given(st.text())
def test_any_text_is_either_a_duration_or_an_input_error(text: str) -> None:
    try:
        value_ns = parse_duration_ns(text)
    except InputError:
        return
    assert value_ns >= 0


@given(
    number=st.integers(0, 10**9),
    unit=st.sampled_from(sorted(DURATION_NS)),
    space=st.sampled_from(["", " ", "\t", "  "]),
)
def test_space_around_number_and_unit_means_nothing(number: int, unit: str, space: str) -> None:
    assert parse_duration_ns(f"{space}{number}{space}{unit}{space}") == number * DURATION_NS[unit]
