"""Workload files: strictly read, written back as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostemu.base.errors import ScenarioError
from hostemu.scenario.workload import SHELF, Workload, filled, folder_of, is_workload, load_workload

TEXT = """
schema = 1
kind = "workload"
name = "pair"
deadline = "10 s"
unit = "ms"
[groups.server]
command = ["serve", "{own}"]
ends = false
[groups.client]
count = 3
command = ["ask", "{server}", "{number}"]
line = { delay = "5 ms", rate = "10 Mbit" }
[groups.client.simulated]
asks = "server"
answer = "3 KiB"
"""


def loaded(tmp_path: Path, text: str, *overrides: str) -> Workload:
    path = tmp_path / "pair.toml"
    path.write_text(text)
    return load_workload(str(path), overrides)


@pytest.mark.parametrize("name", SHELF.names())
def test_shipped_workloads_read_back_as_they_are_written(name: str, tmp_path: Path) -> None:
    workload = load_workload(name)
    assert loaded(tmp_path, workload.to_toml()) == workload
    assert is_workload(name)
    assert folder_of(name).is_dir()


def test_a_group_is_named_by_the_user(tmp_path: Path) -> None:
    workload = loaded(tmp_path, TEXT, "groups.client.count=7", 'groups.client.line.delay="1 ms"')
    client = workload.groups["client"]
    assert (client.count, client.line.delay_ns, client.line.rate_bps) == (7, 1_000_000, 10_000_000)
    assert workload.hosts == 8
    assert client.simulated is not None
    assert (client.simulated.answer_bytes, client.simulated.request_bytes) == (3072, 100)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('"{server}"', '"{sevrer}"', "sevrer"),
        ('asks = "server"', 'asks = "nobody"', "one of server, client"),
        ("count = 3", "count = 0", "groups.client.count is wrong"),
        ("count = 3", "count = 5000", "4096"),
        ("count = 3", "ends = false", "a group whose programs end"),
        ("count = 3", "cuont = 3", "did you mean groups"),
        ('command = ["serve", "{own}"]', "command = []", "groups.server.command"),
        ('kind = "workload"', 'kind = "fleet"', "kind"),
        ("[groups.client.simulated]", "[groups.client.simulated]\ntimes = 0", "times"),
        ("[groups.server]", "[groups.Server]", "groups.Server"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, old: str, new: str, match: str) -> None:
    assert old in TEXT
    with pytest.raises(ScenarioError, match=match):
        loaded(tmp_path, TEXT.replace(old, new))


@pytest.mark.parametrize("override", ["groups.client.cuont=3", "group.client.count=3", "groups.count=3"])
def test_an_override_of_nothing_is_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ScenarioError):
        loaded(tmp_path, TEXT, override)


def test_placeholders_are_filled() -> None:
    assert filled("http://{server}/{number}", {"server": "10.0.0.2", "number": 3}) == "http://10.0.0.2/3"
    assert filled("%{time_total}\n", {"time_total": "x"}) == "%x\n"


@pytest.mark.parametrize("text", ["", "kind = 3", "\xff", "no toml ["])
def test_other_files_are_no_workloads(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.toml"
    path.write_bytes(text.encode("latin-1"))
    assert not is_workload(str(path))
    assert not is_workload("thesis-uml")
