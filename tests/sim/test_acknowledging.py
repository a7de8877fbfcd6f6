"""When a receiver acknowledges at once, and when it waits for data to send."""

from __future__ import annotations

from hostemu.sim.acknowledging import DELAY_NS, QUICK_ACKNOWLEDGEMENTS, Acknowledging


def test_a_new_connection_acknowledges_the_first_segments_at_once() -> None:
    rule = Acknowledging()
    at_once = []
    for now_ns in range(QUICK_ACKNOWLEDGEMENTS + 1):
        at_once.append(rule.received(now_ns, 100))
        rule.sent(now_ns, with_data=False)
    assert at_once == [True] * QUICK_ACKNOWLEDGEMENTS + [False]


def test_who_answers_data_with_data_waits_for_the_next_answer() -> None:
    rule = Acknowledging()
    assert rule.received(0, 100)
    rule.sent(DELAY_NS - 1, with_data=True)
    assert not rule.received(DELAY_NS, 100)


def test_who_answers_late_goes_on_acknowledging_at_once() -> None:
    rule = Acknowledging()
    assert rule.received(0, 100)
    rule.sent(DELAY_NS, with_data=True)
    assert rule.received(DELAY_NS + 1, 100)


def test_who_speaks_first_is_not_interactive_by_that() -> None:
    rule = Acknowledging()
    rule.sent(0, with_data=True)
    assert rule.received(1, 100)


def test_waiting_in_vain_ends_being_interactive() -> None:
    rule = Acknowledging()
    rule.received(0, 100)
    rule.sent(1, with_data=True)
    rule.received(2, 100)
    rule.waited_in_vain()
    assert rule.received(DELAY_NS + 2, 100)


def test_more_than_one_full_segment_is_acknowledged_at_once_in_any_case() -> None:
    rule = Acknowledging()
    rule.received(0, 1448)
    rule.sent(1, with_data=True)
    assert [rule.received(2, 1448), rule.received(3, 1)] == [False, True]
