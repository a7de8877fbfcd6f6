"""What the thesis' tables 1 to 4 say of the hosts of its experiment, as costs for the simulator.

Its machine had two cores, which all guests shared; the ISP server was another machine.
"""

from __future__ import annotations

from hostemu.base.units import NS_PER_S
from hostemu.measure.costs import Costs

CORES = 2

FRAME_PAYLOAD_BYTES = 1448
"""Of TCP, in a full Ethernet frame, with timestamps (RFC 7323) as Linux sends them."""

BACKLOG_FRAMES = 1000
"""What Linux 2.6.16 lets wait for a host's CPU (net.core.netdev_max_backlog): the queue in front of the router."""


def thesis_costs(iperf_bps: float) -> Costs:
    """Costs of the guests of a backend, from table 1's throughput between such a guest and its host.

    With 100 clients the guest's CPU is what limits throughput: so long it needs for a frame to pass its NIC.  A frame
    passes a router's twice.  What ACKs took of it is left out, hence the cost is at most this.
    """
    frame_ns = round(FRAME_PAYLOAD_BYTES * 8 * NS_PER_S / iperf_bps)
    return Costs(
        router_frame_ns=2 * frame_ns,
        router_queue_frames=BACKLOG_FRAMES,
        guest_frame_ns=frame_ns,
        cores=CORES,
        source=f"thesis, table 1: {iperf_bps / 1e6:.1f} Mbit/s",
    )
