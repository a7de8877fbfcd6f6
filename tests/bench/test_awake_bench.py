"""How late timers are while cores may sleep, and while they are kept awake; both in the same run, by turns."""

from __future__ import annotations

import time
from contextlib import nullcontext

import numpy as np
import pytest

from hostemu.measure.awake import cores_awake, why_not

pytestmark = [pytest.mark.bench, pytest.mark.skipif(bool(why_not()), reason=why_not())]

ROUNDS = 10
SLEEPS = 200
SLEEP_NS = 10_000_000
LATE_NS = 1_000_000


def overslept_ns() -> list[int]:
    """How much longer than asked for each of some sleeps took."""
    found = []
    for _ in range(SLEEPS):
        due_ns = time.monotonic_ns() + SLEEP_NS
        time.sleep(SLEEP_NS / 1e9)
        found.append(time.monotonic_ns() - due_ns)
    return found


def test_timers_are_punctual_while_cores_are_awake() -> None:
    late: dict[str, list[int]] = {"cores asleep": [], "cores awake": []}
    for _ in range(ROUNDS):
        for name, values in late.items():
            with cores_awake() if name == "cores awake" else nullcontext():
                values += overslept_ns()
    print()
    for name, values in late.items():
        p50, p99 = np.percentile(values, [50, 99]) / 1e6
        share = float(np.mean(np.array(values) > LATE_NS))
        print(f"{len(values)} sleeps of 10 ms, {name}: {p50:.3f} ms late (p99 {p99:.3f}), {share:.2%} over 1 ms")
    medians = [float(np.median(values)) for values in late.values()]
    assert medians[1] <= 1.1 * medians[0]
