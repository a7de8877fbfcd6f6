"""How many frames per second a guest's CPU can take: a TCP stream out of it that its own kernel cuts into frames.

iperf3 sends, and the host receives; every frame that passes the guest's NIC counts, acknowledgements, too, as the
guest's kernel has counted it.  A guest whose CPU was not busy all the time was held up by something else, and could
take more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from hostemu.base.deadline import Deadline
from hostemu.measure.bench import Bench, Once, Sample
from hostemu.measure.throughput_iperf import IPERF3_PORT, READY_S, Load, parse_iperf3
from hostemu.measure.traffic import FrameRate
from hostemu.measure.wiring import Pair, Wanted, joined

ONE = 1
"""Stream: with more of them, more segments wait at a time."""

BUSY = 0.8
"""Of one CPU's time, at least, in a guest that is held up by nothing else."""


@contextmanager
def opened(bench: Bench) -> Iterator[Once]:
    """One guest for all repeats, one server for each."""
    settings = bench.settings_of(FrameRate)
    segment_bytes = bench.chosen(*settings.varied)
    load = Load(ONE, settings.duration_ns // 10**9)
    with joined(bench, Wanted(settings.memory_bytes, ("iperf3",), segmentation_offload=False)) as pair:
        yield lambda: _measure(bench, pair, load, segment_bytes)


def _measure(bench: Bench, pair: Pair, load: Load, segment_bytes: int) -> Sample:
    client = ["iperf3", *load.options(pair.host.address), "-M", str(segment_bytes), "-J"]
    with pair.host.spawn(["iperf3", "-s", "-1"]) as server:
        pair.host.wait_listening(server, IPERF3_PORT, Deadline.after(READY_S, "iperf3's server"))
        before = pair.guest.usage()
        finished = pair.guest.run(client, deadline=bench.patience("the stream"))
        after = pair.guest.usage()
    stream = parse_iperf3(finished.stdout.decode(errors="replace"))
    frames = after.tx_frames - before.tx_frames + after.rx_frames - before.rx_frames
    octets = after.tx_bytes - before.tx_bytes + after.rx_bytes - before.rx_bytes
    cpu_s = after.cpu_s - before.cpu_s
    found = rates(frames, octets, float(load.seconds), cpu_s) | {"stream_bps": stream.values["iperf3_bps"]}
    return Sample(found, {"frames": frames, "octets": octets, "cpu_s": cpu_s, **stream.raw})


def rates(frames: int, octets: int, seconds: float, cpu_s: float) -> dict[str, float]:
    """Frames per second, and their mean size; by another name where the guest was not busy: it could do more."""
    name = "stream_frames_per_s" if cpu_s >= BUSY * seconds else "stream_frames_at_least_per_s"
    return {name: frames / seconds, "stream_frame_bytes": octets / frames}
