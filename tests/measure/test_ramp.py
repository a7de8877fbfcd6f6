"""Ramps over guests that exist on paper only: where they end, and why."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.deadline import Deadline
from hostemu.measure.bench import CAMPAIGN_LIMITS
from hostemu.measure.ramp import UNSAFE, Budget, Ramp

MIB = 1 << 20


@dataclass
class PaperCrew:
    """Guests of one size that share some memory.  fails_at: the guest that does not start, from 1."""

    own_bytes: int
    shared_bytes: int = 0
    machine_bytes: int = 1 << 50
    fails_at: int = 1 << 30
    count: int = 0
    recounts: int = 0
    starts: list[int] = field(default_factory=list)

    def start(self, count: int) -> str:
        self.starts.append(count)
        alive = max(0, min(count, self.fails_at - 1 - self.count))
        self.count += alive
        return "" if alive == count else f"guest {self.count + 1} could not be started"

    def running(self) -> int:
        return self.count

    def used_bytes(self) -> int:
        return self.count * self.own_bytes + (self.shared_bytes if self.count else 0)

    def recount(self) -> None:
        self.recounts += 1

    def available_bytes(self) -> int:
        return self.machine_bytes - self.used_bytes()


def climb(crew: PaperCrew, limit: int, *, at_a_time: int = 4, at_most: int = 2000, floor: int = 0) -> Ramp:
    ramp = Ramp(crew, Budget(limit, floor, "the budget"), at_a_time, at_most)
    ramp.climb(Deadline.after(60, "a ramp on paper"))
    return ramp


@given(
    own=st.integers(1, 100 * MIB),
    shared=st.integers(0, 50 * MIB),
    limit=st.integers(0, 4000 * MIB),
    at_a_time=st.integers(1, 16),
)
def test_the_budget_is_used_and_never_exceeded_by_more_than_the_first_guest(
    own: int, shared: int, limit: int, at_a_time: int
) -> None:
    crew = PaperCrew(own, shared)
    ramp = climb(crew, limit, at_a_time=at_a_time)
    assert max(crew.starts) <= at_a_time
    assert crew.starts[0] == 1
    assert crew.used_bytes() <= max(limit, own + shared)
    if ramp.ended_by == "the budget":
        mean = crew.used_bytes() / crew.count
        assert limit - crew.used_bytes() < mean + 1
    else:
        assert ramp.ended_by == f"{CAMPAIGN_LIMITS[0]} of 2000 guests"
        assert crew.count == 2000


def test_guests_without_anything_to_share_fill_the_budget() -> None:
    crew = PaperCrew(10 * MIB)
    assert climb(crew, 2048 * MIB).ended_by == "the budget"
    assert crew.count == 204


@given(fails_at=st.integers(1, 60), at_a_time=st.integers(1, 8))
def test_a_guest_that_fails_ends_it(fails_at: int, at_a_time: int) -> None:
    crew = PaperCrew(MIB, fails_at=fails_at)
    ramp = climb(crew, 1 << 40, at_a_time=at_a_time)
    assert crew.count == fails_at - 1
    assert ramp.ended_by == f"guest {fails_at} could not be started"


@given(own=st.integers(MIB, 64 * MIB), floor=st.integers(0, 1000 * MIB))
def test_the_machine_keeps_what_is_safe(own: int, floor: int) -> None:
    crew = PaperCrew(own, machine_bytes=1000 * MIB)
    ramp = climb(crew, 1 << 40, floor=floor)
    assert ramp.ended_by == UNSAFE
    assert crew.available_bytes() >= floor or crew.count == 1
    assert crew.available_bytes() - floor < 5 * own


def test_the_campaigns_limits_end_it() -> None:
    crew = PaperCrew(1)
    assert climb(crew, 1 << 40, at_most=10).ended_by == "the campaign's limit of 10 guests"
    assert crew.count == 10
    ramp = Ramp(PaperCrew(1), Budget(1 << 40, 0, "the budget"), 4, 10)
    ramp.climb(Deadline.after(0, "nothing"))
    assert ramp.ended_by == CAMPAIGN_LIMITS[1]


def test_all_guests_are_counted_anew_now_and_then_but_not_always() -> None:
    crew = PaperCrew(1, machine_bytes=1 << 50)
    climb(crew, 1 << 40, at_a_time=1, at_most=1000)
    assert 10 < crew.recounts < 100


@pytest.mark.parametrize(
    ("parameters", "limit", "name"),
    [
        ({"budget": "2 GiB"}, 2 << 30, "the budget of 2 GiB"),
        ({"share": 0.5}, 500, "50 % of the machine's available memory"),
    ],
)
def test_a_budget_is_a_size_or_a_share(parameters: dict[str, str | float], limit: int, name: str) -> None:
    assert Budget.of(parameters, 1000, 0.8) == Budget(limit, 200, name)
