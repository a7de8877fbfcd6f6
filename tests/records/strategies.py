"""Records made by hypothesis."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from hostemu.protocol.reasons import Outcome, Reason
from hostemu.records import HOST, LINE_COUNTERS, PROGRESS, REFUSAL, TALLY, TERMINAL, TIMES, RunRecord

names = st.text(st.characters(min_codepoint=48, max_codepoint=122), max_size=8).map(str.encode)
counts = st.integers(0, 2**62)
reasons = st.sampled_from(list(Reason)).map(int)
outcomes = st.sampled_from(list(Outcome)).map(int)
times = st.integers(-1, 2**62)
floats = st.floats(0, 1e9, allow_nan=False)

_VALUES = {
    TERMINAL: (counts, outcomes, reasons, st.integers(0, 2**32 - 1), times, times),
    LINE_COUNTERS: (names, names, *[counts] * 10),
    HOST: (names, names, floats, *[counts] * 5),
    REFUSAL: (names, reasons, counts),
    PROGRESS: (counts, counts, counts),
    TALLY: (outcomes, reasons, counts, counts, st.integers(0, 2**32 - 1)),
    TIMES: (counts, counts, counts),
}


def tables(dtype: np.dtype) -> st.SearchStrategy[np.ndarray]:  # type: ignore[type-arg]
    """Tables of up to 20 rows."""
    return st.lists(st.tuples(*_VALUES[dtype]), max_size=20).map(lambda rows: np.array(rows, dtype))


plain = st.text(st.characters(min_codepoint=32, max_codepoint=0x24F), max_size=20)

records = st.builds(
    RunRecord,
    mode=st.sampled_from(["real", "simulated", "hybrid"]),
    backend=plain,
    engine=plain,
    scenario_name=plain,
    scenario_text=plain,
    seed=st.integers(0, 2**63 - 1),
    time_scale=st.floats(0.001, 1000),
    version=plain,
    host=st.dictionaries(plain, st.one_of(st.integers(-(2**53), 2**53), plain, st.booleans())),
    complete=st.booleans(),
    verdict=st.lists(plain, max_size=3),
    makespan_ns=counts,
    terminals=tables(TERMINAL),
    lines=tables(LINE_COUNTERS),
    hosts=tables(HOST),
    refusals=tables(REFUSAL),
    progress=tables(PROGRESS),
    tally=tables(TALLY),
    times=tables(TIMES),
    extra=st.dictionaries(plain, st.lists(st.integers(0, 9))),
)


__all__ = ["records", "tables"]
