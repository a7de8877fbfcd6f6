"""Campaign definitions: the shipped ones, strictness, and what errors say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hostemu.base.errors import InputError
from hostemu.base.resources import data_dir
from hostemu.measure.campaigns import SHELF, load_campaign
from hostemu.measure.definition import FIGURES, Campaign, differences
from hostemu.measure.traffic import Traffic
from tests.measure.builders import IPERF, campaign, document

QUICK = (data_dir("calibration") / "thesis-quick.toml").read_text()
TABLES = ("iperf", "tbench", "memory", "guests", "ease", "boot", "packets", "terminals")


def error_of(name: str, *overrides: str, quick: bool = False) -> str:
    """The text of the error that loading gives."""
    with pytest.raises(InputError) as caught:
        load_campaign(name, overrides, quick=quick)
    assert caught.value.exit_code == 2
    return str(caught.value)


@pytest.mark.parametrize("name", SHELF.names())
def test_shipped_campaigns_load_by_name_and_bear_it(name: str) -> None:
    assert load_campaign(name).name == name


@pytest.mark.parametrize("name", ["thesis", "thesis-quick"])
def test_the_thesis_campaigns_measure_tables_1_to_4(name: str) -> None:
    made = load_campaign(name)
    assert {figure for figure, _ in made.figures()} == set(TABLES)
    assert made.backends == ("host", "netns", "uml", "qemu", "kvm")
    assert made.iperf is not None
    assert made.tbench is not None
    assert made.memory is not None
    assert made.guests is not None
    assert made.iperf.clients == made.tbench.clients == 100
    assert made.memory.memory_bytes == tuple(size << 20 for size in (16, 32, 64, 128))
    assert made.guests.memory_bytes == 32 << 20
    assert made.guests.budgets == (2 << 30,)


def test_the_long_campaign_is_as_long_as_the_thesis() -> None:
    made = load_campaign("thesis")
    assert made.iperf is not None
    assert made.tbench is not None
    assert made.guests is not None
    for throughput in (made.iperf, made.tbench):
        assert (throughput.repeats, throughput.duration_ns) == (10, 30 * 10**9)
    assert made.guests.shares == (0.5,)


def test_the_models_campaign_measures_over_several_sizes() -> None:
    made = load_campaign("models")
    assert made.backends == ("netns", "uml", "qemu")
    for name, _ in made.figures():
        settings = getattr(made, name)
        if isinstance(settings, Traffic):
            assert isinstance(settings.varied[1], tuple), name
    assert {"iperf", "packets", "sharing", "router"} <= {name for name, _ in made.figures()}


def test_quick_takes_the_short_form() -> None:
    assert load_campaign("thesis", quick=True) == load_campaign("thesis-quick")
    assert load_campaign("thesis-quick", quick=True) == load_campaign("thesis-quick")
    assert "expected: thesis" in error_of("costs", quick=True)


def test_costs_are_a_campaign() -> None:
    made = load_campaign("costs", ["costs.repeats=2"])
    assert [figure for figure, _ in made.figures()] == ["costs", "actions"]
    assert made.costs is not None
    assert made.costs.repeats == 2


def test_a_file_is_loaded_by_its_path_and_overridden(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(QUICK.replace('"thesis-quick"', '"mine"'))
    made = load_campaign(str(path), ["backends=['netns']", "iperf.duration=1 s", "memory.memory=['48 MiB']"])
    assert made.name == "mine"
    assert made.backends == ("netns",)
    assert made.iperf is not None
    assert made.memory is not None
    assert made.iperf.duration_ns == 10**9
    assert made.iperf.sysctls["net.ipv4.tcp_mem"] == "20000 40000 80000"
    assert made.memory.memory_bytes == (48 << 20,)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("iperf.client=3", ["unknown key iperf.client", "did you mean iperf.clients?"]),
        ("duration=3", ["did you mean iperf.duration?"]),
        ("iperff.duration=3", ["unknown key iperff.duration"]),
        ("iperf.duration=5", ["iperf.duration is wrong", '"10 ms"', "found: 5"]),
        ("iperf.timeout=1 s", ["iperf.timeout", "longer than duration"]),
        ("iperf.wirings=['bridge']", ["iperf.wirings.0", "'direct' or 'gine'", "'bridge'"]),
        ("iperf.wirings=[]", ["iperf.wirings", "at least 1 item"]),
        ("iperf.repeats=0", ["iperf.repeats", "greater than or equal to 1"]),
        ("memory.memory=['16 Mbit']", ["memory.memory.0", "a number and a unit"]),
        ("guests.shares=[1.5]", ["guests.shares.0", "less than or equal to 1"]),
        ("guests.safe_share=0", ["guests.safe_share", "greater than 0"]),
        ("backends=[]", ["backends", "at least one backend"]),
        ("backends=['Not A Name']", ["backends.0", "a text like"]),
        ("order=sorted", ["order", "'random' or 'listed'", "'sorted'"]),
        ("packets.payload=1", ["packets.payload", "a whole number from 16 to 1472, or a list"]),
        ("packets.payload=[18, 1473]", ["packets.payload", "from 16 to 1472", "[18, 1473]"]),
        ("iperf.clients=[1, 4, 1]", ["iperf.clients", "a list of different ones"]),
        ("iperf.clients=[]", ["iperf.clients", "a list of different ones"]),
        ("iperf.clients=[true]", ["iperf.clients", "a whole number from 1 to 10000"]),
        ("tbench.clients=1.5", ["tbench.clients", "a whole number", "1.5"]),
        ("schema=2", ["schema is wrong", "expected: 1"]),
    ],
)
def test_a_wrong_value_is_named_with_what_was_expected(override: str, words: list[str]) -> None:
    text = error_of("thesis", override)
    assert [word for word in words if word not in text] == []


def test_a_wrong_key_in_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(QUICK.replace("clients = 100", "client = 100", 1))
    text = error_of(str(path))
    line = QUICK.split("clients = 100")[0].count("\n") + 1
    assert f"wrong.toml, line {line}: unknown key iperf.client" in text
    assert "iperf.clients is missing" in text


def test_a_campaign_that_measures_nothing_is_none(tmp_path: Path) -> None:
    path = tmp_path / "empty.toml"
    path.write_text('schema = 1\nname = "empty"\nbackends = ["netns"]\n')
    assert "at least one figure: iperf" in error_of(str(path))


def test_what_does_not_exist_is_named_with_the_shipped_ones() -> None:
    text = error_of("thesiss")
    assert "no campaign named 'thesiss'" in text
    assert "did you mean thesis?" in text
    assert "costs" in text
    assert "no campaign file" in error_of("absent.toml")


@pytest.mark.parametrize("name", SHELF.names())
def test_a_complete_definition_reads_back_as_itself(name: str) -> None:
    made = load_campaign(name)
    assert Campaign.model_validate(made.document()) == made


def test_lists_of_sizes_are_the_same_after_a_journal() -> None:
    made = campaign(iperf={**IPERF, "clients": [1, 100]})
    kept = json.loads(json.dumps(made.document()))
    assert kept["iperf"]["clients"] == [1, 100]
    assert differences(kept, made.document()) == []
    assert differences(kept, campaign().document()) == ["iperf.clients: [1, 100], now 100"]


def test_differences_name_keys_and_both_values() -> None:
    old, new = document(), document(iperf={**document()["iperf"], "duration": "2 s"}, boot=None, title="x")
    assert differences(campaign(**old).document(), campaign(**old).document()) == []
    found = differences(campaign(**old).document(), Campaign.model_validate(new).document())
    assert found[0] == "iperf.duration: '1 s', now '2 s'"
    assert found[1].startswith("boot: {")
    assert len(found) == 2


def test_every_figure_has_its_settings() -> None:
    assert set(FIGURES) < set(Campaign.model_fields)
