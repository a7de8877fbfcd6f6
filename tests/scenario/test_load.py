"""Reading scenario files: the shipped ones, overrides, and errors that say where, what and what else."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostemu.base.errors import InputError, ScenarioError
from hostemu.base.resources import data_dir
from hostemu.lines import LineSpec
from hostemu.scenario import load_scenario, shipped_names

SMOKE = (data_dir("scenarios") / "smoke.toml").read_text()


def error_of(name: str, *overrides: str) -> str:
    """The text of the error that loading gives."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(name, overrides)
    assert caught.value.exit_code == 2
    return str(caught.value)


def error_of_text(folder: Path, text: str) -> str:
    """The text of the error that a file with this content gives."""
    path = folder / "wrong.toml"
    path.write_text(text)
    return error_of(str(path))


@pytest.mark.parametrize("name", shipped_names())
def test_shipped_scenarios_load_by_name_and_bear_it(name: str) -> None:
    assert load_scenario(name).name == name


@pytest.mark.parametrize(("name", "terminals", "programs"), [("thesis-qemu", 3200, 3), ("thesis-uml", 6400, 5)])
def test_the_thesis_scenarios_say_what_the_thesis_says(name: str, terminals: int, programs: int) -> None:
    scenario = load_scenario(name)
    power, retrieval, lines = scenario.power, scenario.retrieval, scenario.lines
    assert (scenario.fleet.terminals, scenario.guests, scenario.isp_programs) == (terminals, 32, programs)
    assert (power.on_ns, power.off.min_ns, power.off.max_ns) == (5 * 10**9, 30 * 10**9, 60 * 10**9)
    assert (retrieval.list_size, retrieval.concurrency, retrieval.authentication) == (1500, 200, "xor")
    assert lines.center.up.delay_ns + lines.isp.down.delay_ns == 10_000_000
    assert lines.isp.up.delay_ns + lines.terminals.down.delay_ns == 10_000_000
    assert scenario.hosts.memory_bytes == 32 * 2**20


def test_a_file_is_loaded_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMOKE.replace('"smoke"', '"mine"'))
    assert load_scenario(str(path)).name == "mine"


def test_a_file_without_suffix_is_loaded_when_no_shipped_scenario_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("plain").write_text(SMOKE)
    assert load_scenario("plain").name == "smoke"


def test_settings_of_one_direction_override_those_of_the_line(tmp_path: Path) -> None:
    path = tmp_path / "lines.toml"
    path.write_text(SMOKE + '[lines.terminals.down]\nrate = "8 Mbit"\n[lines.terminals.up]\nloss = 0.1\n')
    line = load_scenario(str(path)).lines.terminals
    assert line.up.spec() == LineSpec(10_000_000, 65536, 1_000_000, 0.1)
    assert line.down.spec() == LineSpec(8_000_000, 65536, 1_000_000, 0.0)


@pytest.mark.parametrize(
    "override",
    ["lines.isp.delay=5 ms", 'lines.isp.delay="5 ms"', "lines.isp.delay = 5 ms", "lines.isp={delay='5 ms'}"],
)
def test_an_override_may_be_toml_or_a_bare_text(override: str) -> None:
    assert load_scenario("smoke", [override]).lines.isp.up.delay_ns == 5_000_000


def test_later_overrides_win_and_tables_are_made_as_needed() -> None:
    overrides = ["seed=2", "lines.center.up.loss=0.5", "seed=3", "retrieval.retry.keeps_slot=false"]
    scenario = load_scenario("smoke", overrides)
    assert scenario.seed == 3
    assert (scenario.lines.center.up.loss, scenario.lines.center.down.loss) == (0.5, 0.0)
    assert scenario.retrieval.retry.keeps_slot is False


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("fleet.terminal=3", ["unknown key fleet.terminal", "did you mean fleet.terminals?"]),
        ("terminals_per_guest=3", ["did you mean fleet.terminals_per_guest?"]),
        ("power.offf.max=3", ["unknown key power.offf.max", "did you mean power.off.max?"]),
        ("power.on.x=3", ["unknown key power.on.x"]),
        ("zzzz=3", ["unknown key zzzz", "one of", "fleet", "seed"]),
        ("power.on=5", ["power.on is wrong", '"10 ms"', "found: 5"]),
        ("power.on=five seconds", ["power.on", "a number and a unit", "'five seconds'"]),
        ("power.on=10 Mbit", ["power.on", "a number and a unit", "'10 Mbit'"]),
        ("power.on=0 s", ["power.on", "from 1 ns"]),
        ("power.on=1e999 h", ["power.on", "from 1 ns"]),
        ("power.off.max=1 ms", ["power.off.max", "not below min", "1000000 ns < 300000000 ns"]),
        ("power.when_off=explode", ["power.when_off", "'refuse' or 'silent'", "'explode'"]),
        ("power=3", ["power is wrong", "a table", "found: 3"]),
        ("power.off.max.x=1", ["unknown key power.off.max.x"]),
        ("fleet.terminals=0", ["fleet.terminals", "greater than or equal to 1"]),
        ("fleet.terminals=1.5", ["fleet.terminals", "valid integer", "1.5"]),
        ("fleet.terminals=true", ["fleet.terminals", "valid integer", "True"]),
        ("fleet.terminals=99999999999", ["less than or equal to 1000000000"]),
        ("retrieval.concurrency=26", ["retrieval.concurrency", "at most list_size = 25", "26"]),
        ("retrieval.info=16 KiB", ["retrieval.info", "a size from 0 B to 15 KiB", "'16 KiB'"]),
        ("retrieval.retry.max_attempts=0", ["retrieval.retry.max_attempts", "greater than or equal to 1"]),
        ("lines.center.queue=1 MB", ["lines.center.queue", "a rate beside the queue limit", "no rate"]),
        ("lines.center.down.queue=1 MB", ["lines.center.down.queue", "direction down"]),
        ("lines.center.up.loss=1.5", ["lines.center.up.loss", "less than or equal to 1", "1.5"]),
        ("lines.center.loss=nan", ["lines.center.loss", "nan"]),
        ("lines.center.delay=-1 ms", ["lines.center.delay", "'-1 ms'"]),
        ("schema=2", ["schema is wrong", "expected: 1", "found: 2"]),
        ("seed=-1", ["seed", "greater than or equal to 0"]),
        ("seed=9223372036854775808", ["seed", "less than 9223372036854775808"]),
        ("name=Not A Name", ["name", "a text like", "'Not A Name'"]),
    ],
)
def test_a_wrong_override_is_named_with_what_was_expected(override: str, words: list[str]) -> None:
    text = error_of("smoke", override)
    assert text.startswith(f"--set {override}: ")
    assert [word for word in words if word not in text] == [], text


@pytest.mark.parametrize("override", ["", "seed", "=3", "fleet.=3", ".=1"])
def test_an_override_that_sets_nothing_is_bad_input(override: str) -> None:
    assert "KEY=VALUE" in error_of("smoke", override)


def test_an_override_below_something_that_is_no_table_is_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "flat.toml"
    path.write_text("fleet = 3\n")
    assert "fleet is not a table" in error_of(str(path), "fleet.terminals=3")


def test_a_date_is_a_text_here() -> None:
    assert load_scenario("smoke", ["title=2008-01-01"]).title == "2008-01-01"


def test_an_override_cannot_smuggle_in_a_second_key() -> None:
    scenario = load_scenario("smoke", ['title="a"\nseed = 3'])
    assert (scenario.title, scenario.seed) == ('"a"\nseed = 3', 1)


def test_a_wrong_key_of_a_file_is_named_with_its_line(tmp_path: Path) -> None:
    text = error_of_text(tmp_path, SMOKE.replace("\nphase =", "\nphse ="))
    line = SMOKE.splitlines().index('phase = "random"') + 1
    assert f"wrong.toml, line {line}: unknown key power.phse" in text
    assert "did you mean power.phase?" in text


def test_all_problems_of_a_file_are_told_at_once(tmp_path: Path) -> None:
    broken = SMOKE.replace('"500 ms"', "500").replace("terminals = 40", "").replace('"refuse"', '"?"') + "\n[extra]\n"
    text = error_of_text(tmp_path, broken)
    assert "wrong.toml: 5 problems\n" in text
    wanted = [
        "power.on",
        "fleet.terminals is missing",
        "power.when_off",
        "retrieval.connect_timeout",
        "unknown key extra",
    ]
    assert [word for word in wanted if word not in text] == [], text


def test_a_long_value_is_cut_short_in_the_error(tmp_path: Path) -> None:
    text = error_of_text(tmp_path, SMOKE.replace('"refuse"', f'"{"x" * 5000}"'))
    assert "xxx…" in text
    assert len(text) < 500


def test_a_value_inside_an_inline_table_is_placed_at_the_table(tmp_path: Path) -> None:
    line = next(number for number, row in enumerate(SMOKE.splitlines(), 1) if row.startswith("off = {"))
    assert f"line {line}: power.off.min" in error_of_text(tmp_path, SMOKE.replace('min = "300 ms"', "min = 3"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"= 3", ["wrong.toml is not TOML", "line 1"]),
        (b"a = 1\na = 2\n", ["wrong.toml is not TOML"]),
        (b"x = " + b"[" * 100_000, ["wrong.toml is not TOML"]),
        (b"\xff\xfe", ["wrong.toml is not UTF-8"]),
        (b"#" * (2**20 + 1), ["wrong.toml is too long", "1048576 bytes"]),
        (b"", ["schema is missing", "fleet is missing", "retrieval is missing"]),
    ],
)
def test_a_file_that_is_no_scenario_is_named(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "wrong.toml"
    path.write_bytes(content)
    text = error_of(str(path))
    assert [word for word in words if word not in text] == [], text


def test_a_missing_scenario_lists_the_shipped_ones(tmp_path: Path) -> None:
    text = error_of("thesis-qem")
    assert "did you mean thesis-qemu?" in text
    assert all(name in text for name in shipped_names())
    assert "no scenario file" in error_of(str(tmp_path / "none.toml"))


def test_a_folder_is_no_scenario(tmp_path: Path) -> None:
    assert "cannot read" in error_of(str(tmp_path))


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf")])
def test_a_time_scale_that_is_none_is_bad_input(factor: float) -> None:
    with pytest.raises(InputError, match="time scale"):
        load_scenario("smoke", time_scale=factor)


@pytest.mark.parametrize(
    "override",
    [
        "retrieval.transport=udp",
        "retrieval.partitioned=true",
        "retrieval.retry.keeps_slot=false",
        "retrieval.retry.after=no-contact",
        "power.off.min=0 s",
    ],
)
def test_what_does_not_go_together_with_calls_of_terminals_is_named(override: str) -> None:
    calls = "retrieval.initiative=terminal"
    with pytest.raises(ScenarioError) as caught:
        load_scenario("thesis-uml", [calls, override])
    assert override.partition("=")[0] in str(caught.value)
    assert "initiative is terminal" in str(caught.value)
    assert load_scenario("thesis-uml", [override]).retrieval.initiative == "server"
    assert load_scenario("thesis-uml", [calls]).retrieval.initiative == "terminal"


def test_a_partitioned_list_needs_slots_that_are_kept() -> None:
    overrides = ["retrieval.partitioned=true", "retrieval.retry.keeps_slot=false"]
    with pytest.raises(ScenarioError) as caught:
        load_scenario("thesis-uml", overrides)
    assert "retrieval.partitioned" in str(caught.value)
    assert load_scenario("thesis-uml", overrides[:1]).retrieval.partitioned is True
