"""Fragments: what a line means, and that a line without effect is seen."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.guests.kernel_config import Option, allconfig, dropped, fragment_file, parse_fragment
from hostemu.guests.kernel_image import KINDS

names = st.from_regex(r"CONFIG_[A-Z0-9][A-Z0-9_]{0,12}", fullmatch=True)
values = st.one_of(
    st.sampled_from(["y", "n"]),
    st.integers(-9, 99).map(str),
    st.integers(0, 1 << 32).map(hex),
    st.from_regex(r'"[a-z0-9:, /]{0,9}"', fullmatch=True),
)
fragments = st.dictionaries(names, st.tuples(values, st.booleans()), min_size=1).map(
    lambda rows: tuple(Option(name, value, wished) for name, (value, wished) in rows.items())
)


def text_of(options: tuple[Option, ...]) -> str:
    return "".join(f"{'#? ' if option.wished else ''}{option.line}\n" for option in options)


@given(fragments)
def test_what_is_written_is_what_is_read(options: tuple[Option, ...]) -> None:
    assert parse_fragment(f"# a remark\n\n{text_of(options)}") == options


@given(fragments)
def test_nothing_is_dropped_of_a_configuration_that_follows(options: tuple[Option, ...]) -> None:
    assert dropped(options, f"CONFIG_of_no_interest=y\n{allconfig(options)}") == []


@given(fragments, st.data())
def test_exactly_the_lines_without_effect_are_named(options: tuple[Option, ...], data: st.DataObject) -> None:
    lost = data.draw(st.sets(st.sampled_from(options)))
    config = allconfig(option for option in options if option not in lost)
    demanded = [option.line for option in options if option in lost and not option.wished and option.value != "n"]
    assert dropped(options, config) == demanded


@given(names, values, values)
def test_another_value_is_no_effect(name: str, wanted: str, found: str) -> None:
    assert dropped([Option(name, wanted)], Option(name, found).line) == (
        [] if wanted == found else [Option(name, wanted).line]
    )


def test_an_option_that_is_on_although_unwanted_is_named() -> None:
    assert dropped(parse_fragment("CONFIG_SMP=n"), "CONFIG_SMP=y\n") == ["# CONFIG_SMP is not set"]


@pytest.mark.parametrize("line", ["CONFIG_A", "CONFIG_A=m", "CONFIG_A=y # why", "A=y", "#? CONFIG_A", '#? not "set"'])
def test_a_line_that_means_nothing_is_named(line: str) -> None:
    with pytest.raises(ValueError, match=rf"line 2 is no option: {re.escape(line)}"):
        parse_fragment(f"CONFIG_B=y\n{line}\n")


def test_an_option_is_set_once() -> None:
    with pytest.raises(ValueError, match="line 2 sets CONFIG_A a second time"):
        parse_fragment("CONFIG_A=y\n# CONFIG_A is not set\n")


@pytest.mark.parametrize("kind", KINDS)
def test_the_shipped_fragments_are_read_and_forbid_modules(kind: str) -> None:
    options = parse_fragment(fragment_file(kind).read_text())
    assert Option("CONFIG_MODULES", "n") in options
    assert len(options) > 60
