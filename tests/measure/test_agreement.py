"""Which sessions may be pooled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import InputError
from hostemu.measure.agreement import HOST_FACTS, Session, disagreements, require_agreement
from tests.measure.builders import HOST

made_of = st.dictionaries(st.sampled_from(["kernel", "qemu", "image"]), st.text(max_size=3))
sessions = st.builds(
    Session,
    st.just(HOST),
    st.dictionaries(st.sampled_from(["uml", "qemu"]), made_of),
    st.dictionaries(st.sampled_from(["iperf", "tbench"]), st.text(max_size=3)),
)


@given(session=sessions)
def test_a_session_agrees_with_itself(session: Session) -> None:
    assert disagreements(session, session, ["uml", "qemu"]) == []


@given(old=sessions, new=sessions)
def test_what_was_never_measured_need_not_agree(old: Session, new: Session) -> None:
    found = disagreements(old, new, [])
    assert not any(text.startswith("backend") for text in found)


@pytest.mark.parametrize("fact", HOST_FACTS)
def test_each_fact_counts(fact: str) -> None:
    changed = Session({**HOST, fact: "changed"})
    (found,) = disagreements(Session(HOST), changed, [])
    assert found == f"host {fact}: {HOST[fact]!r}, now 'changed'"


def test_facts_that_come_and_go_do_not_count() -> None:
    assert disagreements(Session(HOST), Session({**HOST, "memory_available_bytes": 3, "python": "3.99"}), []) == []


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ({"kernel": "1"}, {"kernel": "2"}, ["backend uml kernel: '1', now '2'"]),
        ({}, {"kernel": "2"}, ["backend uml kernel: nothing, now '2'"]),
        ({"kernel": "1"}, {}, ["backend uml kernel: '1', now nothing"]),
    ],
)
def test_what_a_backend_is_made_of_counts(old: dict[str, str], new: dict[str, str], found: list[str]) -> None:
    made: list[Any] = [Session(HOST, {"uml": identity}) for identity in (old, new)]
    assert disagreements(made[0], made[1], ["uml"]) == found


def test_an_error_tells_everything() -> None:
    require_agreement("x", [])
    with pytest.raises(InputError) as caught:
        require_agreement("x.jsonl", ["a: 1, now 2", "b: 3, now 4"])
    assert "x.jsonl" in str(caught.value)
    assert "a: 1, now 2; b: 3, now 4" in str(caught.value)
