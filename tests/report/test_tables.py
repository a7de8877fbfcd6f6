"""Tables 1 to 4: published, measured, ratio; a reason for what has no figure; ratings by the rule."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from rich.console import Console

from hostemu.base.resources import data_file
from hostemu.report import published, rendering
from hostemu.report.campaign import as_table, notes
from hostemu.report.figures import half_width, mean_text
from hostemu.report.ratings import BAD, BEST, FAIR, GOOD, RULES
from hostemu.report.table_data import TableData
from hostemu.report.tables import tables
from tests.report.summaries import made_up

MIB = 1 << 20


def table(number: str, summary: dict[str, Any] | None, *, which: int = 0) -> TableData:
    """The table whose title begins so."""
    return [made for made in tables(summary) if made.title.startswith(number)][which]


def row(made: TableData, name: str) -> list[dict[str, Any]]:
    """The cells of a row."""
    (cells,) = [cells for known, cells in made.rows if known == name]
    return cells


def test_the_published_figures_are_those_of_the_thesis() -> None:
    assert published.throughput_bps("iperf", "uml") == 376_424_000
    assert published.throughput_bps("tbench", "kvm") == 65_451_900
    assert published.memory_bytes("qemu", 32 * MIB) == pytest.approx(55.3 * MIB)
    assert published.memory_bytes("xen", 16 * MIB) is None
    assert [published.guests(name) for name in published.BACKENDS] == [34, 37, 1, 1, 35]
    assert published.terminals("uml") == 211
    assert published.guests("netns") is None


def test_every_published_figure_is_positive_and_of_a_known_backend() -> None:
    thesis = tomllib.loads(data_file("models", "thesis-2008.toml").read_text())
    assert set(thesis["table1"]["iperf"]) == set(thesis["table3"]) == set(published.BACKENDS)
    figures = [*thesis["table1"]["iperf"].values(), *thesis["table1"]["tbench"].values(), *thesis["table3"].values()]
    assert min(figures) > 0


def test_throughput_stands_beside_the_published_one_with_the_ratio() -> None:
    value, direct, ratio, gine, no_ratio = row(table("Table 1", made_up()), "uml")
    assert value == {"is": "published", "value": 376_424_000.0, "unit": "bit/s"}
    assert (direct["is"], direct["n"], direct["mean"]) == ("measured", 3, 752.848e6)
    assert direct["half_width_95"] == 0
    assert ratio == {"is": "ratio", "value": pytest.approx(2.0)}
    assert gine["instead"] == "iperf3"
    assert "by iperf3" in gine["text"]
    assert no_ratio == {"is": "nothing"}  # measured by another program than the thesis'
    assert row(table("Table 1", made_up(), which=1), "uml")[2]["value"] == pytest.approx(2.0)


def test_a_backend_without_a_figure_has_a_reason() -> None:
    made = table("Table 1", made_up())
    assert row(made, "kvm")[1] == {"is": "reason", "text": "/dev/kvm cannot run a guest"}
    assert row(made, "xen")[1] == {"is": "reason", "text": "not part of this campaign"}
    assert row(table("Table 2", made_up()), "netns 32 MiB")[1]["text"].startswith("a guest without processes")
    assert row(table("Table 2", made_up()), "uml 16 MiB")[1] == {"is": "reason", "text": "not measured yet"}


def test_references_stand_below_the_thesis_backends() -> None:
    names = [name for name, _ in table("Table 1", made_up()).rows]
    assert names == ["qemu", "kvm", "vmware", "xen", "uml", "host", "netns"]
    value, loopback, ratio, gine, _ = row(table("Table 1", made_up()), "host")
    assert (value["is"], ratio["is"], gine["is"]) == ("nothing", "nothing", "nothing")
    assert loopback["mean"] == 20e9


def test_memory_is_shown_by_configured_size_with_its_cross_check() -> None:
    value, own, ratio, marginal = row(table("Table 2", made_up()), "uml 32 MiB")
    assert value["value"] == pytest.approx(14.3 * MIB)
    assert own["mean"] == pytest.approx(7.15 * MIB)
    assert ratio["value"] == pytest.approx(0.5)
    assert marginal["mean"] == 8 * MIB
    assert row(table("Table 2", made_up()), "netns 32 MiB")[3]["mean"] == MIB


def test_numbers_of_guests_say_what_ended_them() -> None:
    made = table("Table 3", made_up())
    assert made.headings[1:5] == [
        "measured, within 2 GiB",
        "MiB each",
        "measured, within 50 % of this machine",
        "MiB each",
    ]
    value, small, each, large, _, ratio = row(made, "uml")
    assert (value["value"], small["mean"], each["mean"]) == (35, 245, 8 * MIB)
    assert ratio["value"] == pytest.approx(7.0)
    assert (small["at_least"], large["at_least"]) == (False, True)
    assert large["text"].startswith("≥ 1,500")
    assert "uml, within 2 GiB: ended by the budget of 2 GiB" in made.notes


def test_ratings_follow_the_rule_and_the_printed_mark_stands_beside_them() -> None:
    made = table("Table 4", made_up())
    throughput, memory, guests, gui, configuration = row(made, "uml")
    assert [cell["measured"] for cell in (throughput, memory, guests, gui, configuration)] == [
        BEST,
        BEST,
        BEST,
        BEST,
        FAIR,
    ]
    assert [cell["published"] for cell in (throughput, memory, guests)] == [GOOD, BEST, GOOD]
    assert [cell.get("printed") for cell in row(made, "xen")] == [None, None, "×", None, "×"]
    assert row(made, "kvm")[0]["measured"] is None
    assert row(made, "kvm")[0]["printed"] == "×"
    assert any("throughput: share of the best" in note for note in made.notes)


@pytest.mark.parametrize("column", ["throughput", "memory", "guests"])
def test_the_rule_gives_its_worst_mark_where_the_thesis_does_and_nowhere_else(column: str) -> None:
    made = table("Table 4", None)
    at = list(RULES).index(column)
    for backend in published.BACKENDS:
        cell = row(made, backend)[at]
        assert (cell["published"] == BAD) == (cell["printed"] == BAD), backend


@pytest.mark.parametrize("column", RULES)
def test_marks_get_worse_in_one_direction(column: str) -> None:
    rule = RULES[column]
    values = [0.01 * 1.3**step for step in range(60)]
    marks = [(BEST, GOOD, FAIR, BAD).index(rule.mark(value)) for value in values]
    assert marks == sorted(marks, reverse=not rule.less_is_better)
    assert BEST in rule.text()


def test_without_a_campaign_the_published_figures_are_shown() -> None:
    made = tables(None)
    assert [one.title[:7] for one in made] == ["Table 1", "Table 1", "Table 2", "Table 3", "Table 4", "Beyond "]
    assert all(
        cell["is"] in ("published", "nothing", "rating") for one in made for _, cells in one.rows for cell in cells
    )


def test_figures_beyond_the_tables_are_shown() -> None:
    made = table("Beyond", made_up())
    threads, terminals, ratio = row(made, "uml: terminals in one 32 MB guest")
    assert (threads["value"], terminals["mean"], ratio["value"]) == (211, 5275, 25.0)
    assert row(made, "uml: boot, s")[1]["mean"] == 0.25
    assert not [name for name, _ in made.rows if name.startswith("xen")]  # neither published nor in the campaign


@pytest.mark.parametrize("summary", [None, made_up()], ids=["published", "measured"])
def test_every_row_fills_its_table_and_is_plain_data(summary: dict[str, Any] | None) -> None:
    for made in tables(summary):
        assert all(len(cells) == len(made.headings) for _, cells in made.rows)
        assert json.loads(json.dumps(made.as_json())) == made.as_json()


def test_both_renderings_hold_figures_reasons_and_warnings() -> None:
    unstable = ("iperf", "kvm", {"wiring": "direct"}, {"iperf_bps": 1e9})
    made = table("Table 1", made_up(unstable))
    console = Console(record=True, width=200)
    console.print(rendering.as_table(made))
    for text in (console.export_text(), rendering.as_markdown(made)):
        assert "752.8 ± 0.0 (n=3)" in text
        assert "376.4" in text
        assert "2.00" in text
        assert "[1] not part of this campaign" in text
    few = rendering.as_markdown(table("Table 3", made_up()))
    assert "only 1 value: nothing is known of the spread" in few
    lines = [line for line in few.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1


def test_a_campaign_is_shown_with_everything_that_speaks_against_it() -> None:
    summary = made_up()
    console = Console(record=True, width=200)
    console.print(as_table(summary))
    text = console.export_text()
    assert "iperf, uml, wiring direct" in text
    assert "752.8 ± 0.0" in text
    said = notes(summary)
    assert "no figure (/dev/kvm cannot run a guest): all of kvm" in said
    assert "ended by the budget of 2 GiB: guests, uml, budget 2 GiB" in said
    assert len(said) == len(set(said))


@pytest.mark.parametrize(
    ("quantity", "text"),
    [
        ({"unit": "bit/s", "mean": 1234.56e6, "student": {"low": 1.2e9, "high": 1.3e9}}, "1,234.6 ± 50.0"),
        ({"unit": "", "mean": 245.0, "student": None}, "245"),
        ({"unit": "B", "mean": 8.5 * MIB, "student": None}, "8.5"),
        ({"unit": "ns", "mean": 1500.0, "student": None}, "1.5"),
    ],
)
def test_values_are_shown_in_units_for_people(quantity: dict[str, Any], text: str) -> None:
    whole = {"low": quantity["mean"], "high": quantity["mean"], **quantity}
    assert mean_text(whole) == text
    assert (half_width(whole) is None) == (quantity["student"] is None)
