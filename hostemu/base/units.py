"""Quantities with units, as people write them: "10 ms", "100 Mbit", "32 MiB".

Inside the program time is integer nanoseconds, rates are integer bit/s, sizes are integer bytes.
Decimal prefixes are powers of 1000, binary ones (Ki, Mi, Gi) powers of 1024 (IEC 80000-13).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from hostemu.base.errors import InputError

NS_PER_S = 1_000_000_000

DURATION_NS: Mapping[str, int] = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "ms": 1_000_000,
    "s": NS_PER_S,
    "min": 60 * NS_PER_S,
    "h": 3600 * NS_PER_S,
}
_BIT_PREFIXES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}
RATE_BPS: Mapping[str, int] = {
    f"{prefix}bit{per}": factor for prefix, factor in _BIT_PREFIXES.items() for per in ("", "/s", "ps")
}
SIZE_BYTES: Mapping[str, int] = {
    "B": 1,
    "kB": 10**3,
    "KB": 10**3,
    "MB": 10**6,
    "GB": 10**9,
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
}

_QUANTITY = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-zµ/]+)\s*")


def _parse(text: str, units: Mapping[str, int], kind: str, example: str) -> int:
    match = _QUANTITY.fullmatch(text)
    if match is None or match[2] not in units:
        raise InputError(
            f"not a {kind}: {text!r}",
            expected=f"a number and a unit ({', '.join(units)}), such as {example!r}",
            found=repr(text),
        )
    return round(Decimal(match[1]) * units[match[2]])


def parse_duration_ns(text: str) -> int:
    """Nanoseconds of a duration such as "10 ms"; InputError when it is none."""
    return _parse(text, DURATION_NS, "duration", "10 ms")


def parse_rate_bps(text: str) -> int:
    """Bit/s of a rate such as "100 Mbit"; InputError when it is none."""
    return _parse(text, RATE_BPS, "rate", "100 Mbit")


def parse_size_bytes(text: str) -> int:
    """Bytes of a size such as "32 MiB"; InputError when it is none."""
    return _parse(text, SIZE_BYTES, "size", "32 MiB")


def _format(value: int, steps: tuple[tuple[int, str], ...]) -> str:
    """The value in the largest unit that it is a whole number of."""
    factor, unit = next((step for step in steps if value and value % step[0] == 0), steps[-1])
    return f"{value // factor} {unit}"


def format_duration_ns(value_ns: int) -> str:
    """The exact text of a duration: 10000000 → "10 ms"."""
    return _format(value_ns, ((NS_PER_S, "s"), (10**6, "ms"), (10**3, "us"), (1, "ns")))


def format_rate_bps(value_bps: int) -> str:
    """The exact text of a rate: 100000000 → "100 Mbit"."""
    return _format(value_bps, ((10**9, "Gbit"), (10**6, "Mbit"), (10**3, "kbit"), (1, "bit")))


def format_size_bytes(value_bytes: int) -> str:
    """The exact text of a size: 33554432 → "32 MiB"."""
    return _format(value_bytes, ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"), (1, "B")))
