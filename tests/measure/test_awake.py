"""Cores are kept awake where that is allowed, and nobody notices where it is not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from hostemu.measure.awake import DEVICE, cores_awake, why_not


def _is_open(path: Path) -> bool:
    """Whether this process has it open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.append(link.readlink())
    return path in found


def test_a_zero_is_held_as_long_as_it_is_wanted(tmp_path: Path) -> None:
    device = tmp_path / "latency"
    device.touch()
    with cores_awake(device) as are_awake:
        assert are_awake
        assert device.read_bytes() == bytes(4)
        assert _is_open(device)
    assert not _is_open(device)


def test_where_it_is_not_possible_things_go_on(tmp_path: Path) -> None:
    with cores_awake(tmp_path / "absent") as are_awake:
        assert not are_awake
    assert "no " in why_not(tmp_path / "absent")


@pytest.mark.skipif(bool(why_not()), reason=why_not())
def test_the_kernel_takes_it() -> None:
    """Reading the device gives the least latency that anybody wants."""
    with cores_awake() as are_awake:
        assert are_awake
        with DEVICE.open("rb", buffering=0) as device:
            assert device.read(4) == bytes(4)
