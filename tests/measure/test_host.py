"""Host facts and load."""

from __future__ import annotations

import json
import os
import time

from hostemu.measure.host import LoadMonitor, Sample, host_facts, summarise


def test_host_facts_are_plain_and_hold_no_names() -> None:
    facts = host_facts()
    text = json.dumps(facts)
    assert facts["cores"] == len(os.sched_getaffinity(0))
    assert facts["memory_bytes"] > 2**28
    assert facts["kernel"] == os.uname().release
    assert os.uname().nodename not in (value for value in facts.values() if isinstance(value, str))
    assert "numpy" in text


def test_load_is_computed_from_counters() -> None:
    samples = [Sample(0, 0, 0, 5), Sample(98, 2, 0, 5), Sample(98, 100, 2, 9)]
    load = summarise(samples)
    assert load["windows"] == 2
    assert load["mean_busy"] == 98 / 200
    assert load["max_busy"] == 0.98
    assert load["saturated_share"] == 0.5
    assert load["steal_fraction"] == 2 / 200
    assert load["swapped_pages"] == 4


def test_a_monitor_sees_a_busy_core() -> None:
    with LoadMonitor(window_s=0.1) as monitor:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            pass
        load = monitor.summary()
    assert load["windows"] >= 3
    assert load["max_busy"] > 0.5 / os.cpu_count()  # type: ignore[operator]
