"""Costs from the thesis' table 1."""

from __future__ import annotations

import pytest

from hostemu.report.published import throughput_bps
from hostemu.sim.thesis import thesis_costs


@pytest.mark.parametrize(("backend", "frame_us"), [("qemu", 101.6), ("uml", 30.8)])
def test_a_guest_needs_for_a_frame_what_its_throughput_says(backend: str, frame_us: float) -> None:
    iperf_bps = throughput_bps("iperf", backend)
    assert iperf_bps is not None
    costs = thesis_costs(iperf_bps)
    assert costs.guest_frame_ns == pytest.approx(1000 * frame_us, rel=1e-3)
    assert costs.router_frame_ns == 2 * costs.guest_frame_ns
    assert 8 * 1448 * 1e9 / costs.guest_frame_ns == pytest.approx(iperf_bps, rel=1e-4)
