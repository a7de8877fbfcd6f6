"""Scenarios: they print and read back exactly, scale in time, and agree with the layers below."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hostemu.base.errors import ScenarioError
from hostemu.protocol.auth import SCHEMES
from hostemu.protocol.power import Phase
from hostemu.scenario import Scenario, load_scenario
from hostemu.scenario.model import Power, Retrieval
from hostemu.scenario.toml import key_lines


def durations(low: int = 0, high: int = 10**15) -> st.SearchStrategy[str]:
    """Durations as written in files."""
    return st.integers(low, high).map(lambda value: f"{value} ns")


def optional(values: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Tables in which any key may be absent."""
    return st.fixed_dictionaries({}, optional=values)


_rates = st.integers(1, 10**15).map(lambda value: f"{value} bit")
_sizes = st.integers(0, 2**30 - 1).map(lambda value: f"{value} B")
_direction = {"queue": _sizes, "delay": durations(), "loss": st.floats(0, 1)}
_rest = {**_direction, "up": optional({"rate": _rates, **_direction}), "down": optional({"rate": _rates})}
_line = st.fixed_dictionaries({"rate": _rates}, optional=_rest)
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=100)


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """Documents that are scenarios."""
    list_size = draw(st.integers(1, 10**9))
    off = sorted(draw(st.tuples(st.integers(0, 10**15), st.integers(0, 10**15))))
    retrieval = optional({"transport": st.sampled_from(["tcp", "udp"]), "info": st.just("15 KiB")})
    power = optional({"phase": st.sampled_from(["random", "on", "off"]), "when_off": st.just("silent")})
    return {
        "schema": 1,
        "name": draw(st.from_regex(r"[a-z0-9][a-z0-9._-]{0,63}", fullmatch=True)),
        "title": draw(_texts),
        "source": draw(_texts),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "fleet": {"terminals": draw(st.integers(1, 10**9)), "terminals_per_guest": draw(st.integers(1, 10**9))},
        "power": {
            "on": draw(durations(low=1)),
            "off": {"min": f"{off[0]} ns", "max": f"{off[1]} ns"},
            **draw(power),
        },
        "retrieval": {
            "list_size": list_size,
            "concurrency": draw(st.integers(1, list_size)),
            "deadline": draw(durations(low=1)),
            "retry": draw(optional({"interval": durations(), "keeps_slot": st.booleans()})),
            **draw(retrieval),
        },
        "lines": draw(optional({"center": _line, "isp": _line, "terminals": _line})),
    }


@given(document=documents())
def test_a_printed_scenario_reads_back_as_the_same(document: dict[str, Any]) -> None:
    scenario = Scenario.model_validate(document)
    text = scenario.to_toml()
    assert Scenario.model_validate(tomllib.loads(text)) == scenario
    assert Scenario.model_validate(tomllib.loads(text)).to_toml() == text


@given(document=documents())
def test_line_numbers_point_at_the_keys_of_a_printed_scenario(document: dict[str, Any]) -> None:
    text = Scenario.model_validate(document).to_toml()
    lines = text.split("\n")
    for path, number in key_lines(text).items():
        assert lines[number - 1].startswith((f"{path[-1]} = ", f"[{'.'.join(path)}]"))


def test_a_printed_scenario_loads_from_its_file(tmp_path: Path) -> None:
    scenario = load_scenario("thesis-qemu", ["lines.isp.up.loss=0.25"])
    path = tmp_path / "again.toml"
    path.write_text(scenario.to_toml())
    assert load_scenario(str(path)) == scenario


def test_line_numbers_know_comments_quotes_dots_and_long_texts() -> None:
    text = 'a = """\nb = 1\n[c]\n"""\n# d = 1\n[ "e" . f ] # g\n  h . i = 2\n"j" = 3\n'
    assert key_lines(text) == {("a",): 1, ("e", "f"): 6, ("e", "f", "h", "i"): 7, ("e", "f", "j"): 8}


@pytest.mark.parametrize(
    ("terminals", "per_guest", "list_size", "guests", "programs"),
    [(1, 10, 10, 1, 1), (10, 10, 10, 1, 1), (11, 10, 10, 2, 2), (10**9, 3, 7, 333_333_334, 142_857_143)],
)
def test_the_last_guest_and_list_may_be_smaller(
    terminals: int, per_guest: int, list_size: int, guests: int, programs: int
) -> None:
    sizes = {"terminals": terminals, "terminals_per_guest": per_guest}
    settings = [f"fleet.{key}={value}" for key, value in sizes.items()]
    scenario = load_scenario("smoke", [*settings, f"retrieval.list_size={list_size}", "retrieval.concurrency=1"])
    assert (scenario.guests, scenario.isp_programs) == (guests, programs)


def test_scaling_divides_durations_and_multiplies_rates() -> None:
    plain = load_scenario("smoke", ["lines.isp.up.rate=1 Mbit", "lines.isp.down.delay=7 ms"])
    scaled = plain.scaled(10)
    assert scaled.power.on_ns == 50_000_000
    assert (scaled.power.off.min_ns, scaled.power.off.max_ns) == (30_000_000, 60_000_000)
    assert scaled.retrieval.deadline_ns == 3 * 10**9
    assert scaled.retrieval.connect_timeout_ns == 50_000_000
    assert scaled.retrieval.answer_timeout_ns == 100_000_000
    assert scaled.retrieval.retry.interval_ns == 10_000_000
    assert scaled.lines.isp.up.rate_bps == 10_000_000
    assert scaled.lines.isp.down.delay_ns == 700_000
    assert scaled.lines.terminals.up.rate_bps == 100_000_000
    assert scaled.lines.terminals.up.queue_bytes == plain.lines.terminals.up.queue_bytes
    assert (scaled.fleet, scaled.hosts, scaled.seed) == (plain.fleet, plain.hosts, plain.seed)
    assert load_scenario("smoke", time_scale=10) == load_scenario("smoke").scaled(10)


def test_a_decimal_factor_is_taken_as_written() -> None:
    assert load_scenario("smoke").scaled(0.1).power.on_ns == 5 * 10**9


def test_scaling_by_one_changes_nothing() -> None:
    scenario = load_scenario("smoke")
    assert scenario.scaled(1.0) is scenario


def test_scaling_out_of_range_names_the_key() -> None:
    with pytest.raises(ScenarioError, match=r"1e\+09 times faster: power.on is wrong"):
        load_scenario("thesis-qemu").scaled(10.0**9).scaled(10.0**9)
    with pytest.raises(ScenarioError, match=r"lines.isp.rate is wrong"):
        load_scenario("smoke", ["lines.isp.rate=1000 Gbit"]).scaled(10_000)


def test_a_scenario_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        load_scenario("smoke").seed = 3  # type: ignore[misc]


def test_scenarios_offer_every_authentication_and_phase_that_the_protocol_has() -> None:
    assert set(get_args(Retrieval.model_fields["authentication"].annotation)) == set(SCHEMES)
    assert set(get_args(Power.model_fields["phase"].annotation)) == {phase.value for phase in Phase}
