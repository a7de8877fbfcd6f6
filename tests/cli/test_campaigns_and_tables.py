"""`hostemu calibrate` and `hostemu tables` where they measure nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command_line import hostemu


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-campaign"], ["no-such-campaign", "thesis-quick"]),
        (["costs", "--quick"], ["quick form"]),
        (["--set", "iperf.client=3"], ["iperf.clients"]),
        (["--backend", "vax"], ["vax", "netns"]),
        (["--output", "thesis.toml"], ["needs a folder"]),
    ],
)
def test_bad_input_is_named_before_anything_is_made(tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    done = hostemu("calibrate", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert [word for word in words if word not in done.stderr] == []
    assert list(tmp_path.iterdir()) == []


def test_tables_without_results_are_the_published_ones(tmp_path: Path) -> None:
    done = hostemu("tables", "--markdown", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "| uml | 376.4 |" in done.stdout
    assert "## Table 5" not in done.stdout


def test_tables_show_table_5_from_records(tmp_path: Path) -> None:
    assert hostemu("simulate", "smoke", cwd=tmp_path).returncode == 0
    done = hostemu("tables", "--json", "-", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [comparison["scenario"] for comparison in json.loads(done.stdout)["table5"]] == ["smoke"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", '{"entry": "campaign", "schema": 9}\n', "version"),
        ("a.json", "[]", "no summary of a campaign"),
        ("a.json", "{", "not JSON"),
        ("a.h5", "nonsense", "a.h5"),
        ("b.json", None, "cannot read"),
    ],
)
def test_what_is_no_campaign_is_named(tmp_path: Path, name: str, text: str | None, words: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    done = hostemu("tables", name, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert words in done.stderr
    assert "Traceback" not in done.stderr
