"""Virtual time: how fast it goes, held against the real time of the same run, and how exact it is."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from hostemu.lab import call_in_lab
from hostemu.measure.awake import cores_awake
from tests.contract.conftest import require
from tests.guests.kernels import lean_kernel, may_build
from tests.lab.needs import needs_lab

pytestmark = [pytest.mark.bench, needs_lab, may_build]

needs_iperf3 = pytest.mark.skipif(shutil.which("iperf3") is None, reason="not found: iperf3")

GUESTS = "tests.system.virtual_guests"
SEGMENT_BYTES, WIRE_BYTES = 1448, 1538
"""Of a full TCP segment with time stamps: payload, and what it takes on the wire with gap and preamble."""


@pytest.fixture(autouse=True)
def _kernel() -> None:
    require("uml")
    lean_kernel("uml")


def played(what: str, argument: dict[str, Any]) -> dict[str, Any]:
    with cores_awake():
        found: dict[str, Any] = call_in_lab(f"{GUESTS}:{what}", argument)
    assert found["late"] == found["no_buffer"] == 0
    return found


@pytest.mark.parametrize("count", [10, 100, 300])
def test_guests_that_mostly_sleep(count: int) -> None:
    seconds = 20
    found = played("pings", {"count": count, "seconds": seconds})
    speed = seconds / found["took_s"]
    frames = found["frames_sent"]
    print(
        f"\n{count} guests, each with an echo request per second: {speed:.1f} times real time; "
        f"{frames / found['took_s']:.0f} frames/s, {found['messages'] / frames:.1f} messages per frame"
    )
    assert frames >= 2 * count * (seconds - 1)
    assert speed > 1


@needs_iperf3
def test_frames_of_large_datagrams() -> None:
    """Few system calls, which cost a guest most: what is left is the way of frames."""
    found = played("datagrams", {"rate_bps": 500_000_000, "seconds": 2})
    rate = found["frames_sent"] / found["took_s"]
    print(f"\niperf3, UDP of 500 Mbit/s in datagrams of 64 kB: {rate:.0f} frames per second of real time")
    assert found["frames_sent"] > 50_000


@needs_iperf3
@pytest.mark.timeout(400)
@pytest.mark.parametrize("rate_bps", [10_000_000, 100_000_000])
def test_tcp_fills_its_line(rate_bps: int) -> None:
    seconds = 20 if rate_bps < 50_000_000 else 5
    found = played("iperf", {"rate_bps": rate_bps, "seconds": seconds})
    theory_bps = rate_bps * SEGMENT_BYTES / WIRE_BYTES
    error, speed = found["bps"] / theory_bps - 1, found["frames_sent"] / found["took_s"]
    print(
        f"\niperf3 over {rate_bps / 1e6:.0f} Mbit/s: {found['bps'] / 1e6:.3f} Mbit/s, "
        f"in theory {theory_bps / 1e6:.3f} ({error:+.2%}); {speed:.0f} frames per second of real time"
    )
    assert found["bps"] == pytest.approx(theory_bps, rel=0.02)
