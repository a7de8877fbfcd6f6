"""Cost files: what is written is read again, and what is wrong with one is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import InputError, RecordError
from hostemu.measure.costs import FIGURES, NO_COSTS, OPTIONAL, PARTS, Costs, Provenance, load_costs, save_costs

GOOD = """
schema = 1
kind = "costs"
source = "made up"
cores = 2
[cost_ns]
isp_refused = 80000
isp_exchange = 400000
terminal_exchange = 300000
center_report = 50000
router_frame = 15000
"""

figures = st.integers(0, 10**9)
texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
facts = st.dictionaries(texts, st.one_of(texts, st.booleans(), st.integers(-(2**60), 2**60), st.floats(-1e9, 1e9)))
numbers = st.dictionaries(st.sampled_from((*FIGURES, *OPTIONAL)), st.integers(1, 10**9))


@st.composite
def any_costs(draw: st.DrawFn) -> Costs:
    refused, exchange, terminal, report, frame = (draw(figures) for _ in range(5))
    provenance = Provenance(draw(texts), draw(texts), draw(facts), draw(numbers), draw(numbers))
    return Costs(
        isp_refused_ns=refused,
        isp_exchange_ns=refused + exchange,
        terminal_exchange_ns=terminal,
        center_report_ns=report,
        router_frame_ns=frame,
        cores=draw(st.integers(1, 4096)),
        **{f"{name}_ns": draw(figures) for name in OPTIONAL},
        router_queue_frames=draw(figures),
        nic_queue_frames=draw(figures),
        source=draw(texts),
        extras=draw(facts),
        provenance=draw(st.none() | st.just(provenance)),
    )


@given(costs=any_costs())
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, costs: Costs) -> None:
    path = tmp_path_factory.mktemp("costs") / "costs.toml"
    save_costs(costs, path)
    assert load_costs(path) == costs


def test_no_costs_are_free_and_any_figure_is_not() -> None:
    assert NO_COSTS.is_free
    assert not Costs(router_frame_ns=1).is_free
    assert not Costs(terminal_refused_ns=1).is_free
    assert Costs(router_queue_frames=1, nic_queue_frames=1).is_free
    assert all(Costs(**{f"{name}_ns": 1}).is_free for name in PARTS)  # type: ignore[arg-type]


def test_a_file_may_leave_its_provenance_out(tmp_path: Path) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(GOOD)
    costs = load_costs(path)
    assert (costs.isp_refused_ns, costs.router_frame_ns, costs.cores) == (80_000, 15_000, 2)
    assert costs.provenance is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("schema = 1", "schema = 2", "schema = 2"),
        ('kind = "costs"', 'kind = "scenario"', "scenario"),
        ("cores = 2", "cores = 0", "cores"),
        ("cores = 2", "cores = true", "True"),
        ("cores = 2", "", "missing: cores"),
        ("cores = 2", "cores = 2\ncolour = 3", "unknown: colour"),
        ("router_frame = 15000", "", "missing: router_frame"),
        ("cores = 2", "cores = 2\nrouter_queue_frames = -1", "router_queue_frames"),
        ("cores = 2", "cores = 2\nnic_queue_frames = 0.5", "nic_queue_frames"),
        ("router_frame = 15000", "router_frame = 1.5", "cost_ns.router_frame"),
        ("router_frame = 15000", "router_frame = -1", "-1"),
        ("router_frame = 15000", "router_frame = 15000\n[extras]\na = []", "extras.a"),
        ("isp_exchange = 400000", "isp_exchange = 4", "4 < 80000"),
        ('source = "made up"', "source = 3", "source"),
        ("[cost_ns]", "cost_ns = 3\n[costs]", "unknown: costs"),
        ("[cost_ns]", '[provenance]\ncommand = "x"\n[cost_ns]', "missing: measured_at"),
        ("[cost_ns]", "[cost_ns", "not TOML"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "costs.toml"
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(InputError) as caught:
        load_costs(path)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


def test_a_missing_file_is_an_input_error_that_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hostemu calibrate costs"):
        load_costs(tmp_path / "absent.toml")


def test_a_place_that_cannot_be_written_is_a_record_error_and_leaves_nothing(tmp_path: Path) -> None:
    target = tmp_path / "costs.toml"
    target.mkdir()
    with pytest.raises(RecordError, match=r"costs\.toml"):
        save_costs(NO_COSTS, target)
    assert [path.name for path in tmp_path.iterdir()] == ["costs.toml"]
