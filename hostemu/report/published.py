"""The figures of the thesis, in the units in which campaigns keep theirs."""

from __future__ import annotations

import tomllib
from functools import cache
from typing import Any

from hostemu.base.resources import data_file

FILE = "thesis-2008.toml"
BACKENDS = ("qemu", "kvm", "vmware", "xen", "uml")
"""In the order of the thesis."""

MB = 1 << 20
"""Of the thesis' megabytes, read off `top`."""


@cache
def thesis() -> dict[str, Any]:
    """The whole file."""
    return tomllib.loads(data_file("models", FILE).read_text(encoding="utf-8"))


def throughput_bps(program: str, backend: str) -> float | None:
    """Table 1; program: "iperf" or "tbench"."""
    value = thesis()["table1"][program].get(backend)
    return None if value is None else 1000 * float(value)


def memory_bytes(backend: str, configured_bytes: int) -> float | None:
    """Table 2: host memory of one guest; None where the thesis has none."""
    value = thesis()["table2"].get(backend, {}).get(str(configured_bytes // MB))
    return None if value is None else MB * float(value)


def guests(backend: str) -> float | None:
    """Table 3: guests of 32 MB on a machine with 2 GB."""
    value = thesis()["table3"].get(backend)
    return None if value is None else float(value)


def is_worst(backend: str, column: str) -> bool:
    """Table 4: whether the thesis gives its worst mark."""
    return column in thesis()["table4"].get(backend, ())


def terminals(backend: str) -> float | None:
    """Section 5: threads that one guest of 32 MB could run."""
    value = thesis()["terminals_per_guest"].get(backend)
    return None if value is None else float(value)
