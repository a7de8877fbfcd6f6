"""Journals: what is appended is read again, whatever ended the program that wrote."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import HostError, InputError, RecordError
from hostemu.measure.journal import Failure, Journal, Measurement, read_journal, values_of
from hostemu.measure.plan import Cell
from tests.measure.builders import boot, campaign, document, session

ROOT = Path(__file__).resolve().parents[2]
DEFINITION = campaign().document()
ERROR = {"type": "GuestError", "message": "it died"}


def begin(path: Path, count: int = 0) -> None:
    """A journal with so many measurements."""
    with Journal.open(path, DEFINITION, session(), resume=False) as journal:
        for repeat in range(1, count + 1):
            journal.append(boot(repeat, repeat / 8).as_entry())


def resume(path: Path, definition: Any = DEFINITION, **facts: Any) -> Journal:
    return Journal.open(path, definition, session(**facts), resume=True)


def test_what_is_appended_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "campaign.jsonl"
    failure = Failure(Cell("memory", "netns", (("memory", "16 MiB"),)), 1, "2026", ERROR)
    measured = [
        boot(1, raw={"lines": ["a", "b"]}, load_before={"busy": 0.5, "steal": 0.0}),
        boot(1, warm_up=True),
        boot(2, load={"mean_busy": 1.0}),
    ]
    with Journal.open(path, DEFINITION, session(), resume=False) as journal:
        for entry in (*measured, failure):
            journal.append(entry.as_entry())
    content = read_journal(path)
    assert content.definition == DEFINITION
    assert content.measurements == measured
    assert content.failures == [failure]
    assert [entry["host"]["kernel"] for entry in content.sessions] == ["6.1"]
    assert content.done() == {Cell("boot", "netns"): {1, 2}}
    assert content.measured_backends() == {"netns"}
    assert content.whole_bytes == path.stat().st_size
    assert values_of(content.measurements, "boot_s") == [0.25, 0.25]


@given(data=st.data())
def test_any_part_of_a_journal_from_its_beginning_is_a_journal(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "campaign.jsonl"
    begin(path, 5)
    whole = path.read_bytes()
    header = len(whole.split(b"\n", maxsplit=1)[0]) + 1
    cut = data.draw(st.integers(header, len(whole)))
    path.write_bytes(whole[:cut])
    lines = whole[:cut].count(b"\n")
    assert len(read_journal(path).measurements) == max(0, lines - 2)
    with resume(path) as journal:
        left = [m.repeat for m in journal.content.measurements]
        for repeat in {1, 2, 3, 4, 5} - set(left):
            journal.append(boot(repeat, repeat / 8).as_entry())
    content = read_journal(path)
    assert content.done() == {Cell("boot", "netns"): {1, 2, 3, 4, 5}}
    assert len(content.measurements) == 5
    assert path.read_bytes()[: content.whole_bytes] == path.read_bytes()


def test_a_first_line_that_is_torn_is_written_again(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    path.write_bytes(b'{"entry": "camp')
    with pytest.raises(RecordError, match="no journal"):
        read_journal(path)
    with resume(path):
        pass
    assert read_journal(path).measurements == []


def test_a_campaign_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    begin(path, 2)
    with pytest.raises(InputError, match="already") as caught:
        begin(path)
    assert "--continue" in str(caught.value)
    assert len(read_journal(path).measurements) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cpu_model": "another CPU"}, "host cpu_model: 'test CPU', now 'another CPU'"),
        ({"cores": 4}, "host cores: 2, now 4"),
        ({"kernel": "6.2"}, "host kernel: '6.1', now '6.2'"),
        ({"hostemu": "9"}, "host hostemu: '0.1.0', now '9'"),
        ({"memory_bytes": 12 << 30}, "host memory_bytes"),
    ],
)
def test_another_machine_may_not_go_on(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    path = tmp_path / "campaign.jsonl"
    begin(path, 1)
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        resume(path, **changes)
    assert says in str(caught.value)
    assert path.read_bytes() == before


def test_the_same_machine_after_a_reboot_may(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    begin(path, 1)
    with resume(path, memory_bytes=(24 << 30) - 4096, python="another") as journal:
        assert len(journal.content.measurements) == 1
    assert len(read_journal(path).sessions) == 2


def test_other_versions_of_what_was_measured_may_not(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    begin(path, 1)
    changed = session()
    changed["backends"]["netns"]["identity"] = {"kernel": "6.9"}
    changed["tools"] = {"iperf": "def", "tbench": "new"}
    with pytest.raises(InputError) as caught:
        Journal.open(path, DEFINITION, changed, resume=True)
    assert "backend netns kernel: '6.1', now '6.9'" in str(caught.value)
    assert "program iperf: 'abc', now 'def'" in str(caught.value)
    assert "tbench" not in str(caught.value)


def test_another_definition_may_not(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    begin(path, 1)
    other = campaign(boot=None, iperf={**document()["iperf"], "duration": "2 s"}).document()
    with pytest.raises(InputError) as caught:
        resume(path, other)
    assert "iperf.duration: '1 s', now '2 s'" in str(caught.value)
    assert "boot: " in str(caught.value)
    with resume(path, campaign(title="another", backends=["netns"]).document()):
        pass


def test_two_processes_do_not_write_the_same_journal(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    with Journal.open(path, DEFINITION, session(), resume=False), pytest.raises(InputError, match="another process"):
        resume(path)
    with resume(path):
        pass


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"not JSON", "line 2 is damaged"),
        (b"[]", "line 2 is damaged"),
        (b"\xff\xfe", "line 2 is damaged"),
        (b"{}", "unknown kind"),
        (b'{"entry": "measurement"}', "incomplete"),
        (b'{"entry": "failure", "figure": "boot", "backend": "uml", "parameters": 3}', "incomplete"),
    ],
)
def test_damage_in_the_middle_is_named(tmp_path: Path, line: bytes, says: str) -> None:
    path = tmp_path / "campaign.jsonl"
    begin(path, 2)
    lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([lines[0], line, *lines[2:]]))
    with pytest.raises(RecordError) as caught:
        read_journal(path)
    assert says in str(caught.value)
    assert "campaign.jsonl" in str(caught.value)


def test_what_is_no_journal_is_named(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    path.write_text('{"entry": "campaign", "schema": 99}\n')
    with pytest.raises(RecordError, match="version"):
        read_journal(path)
    with pytest.raises(InputError, match="cannot read"):
        read_journal(tmp_path / "absent")
    with pytest.raises(InputError, match="cannot write"):
        begin(path / "below a file")


WRITER = """
import resource, sys
from pathlib import Path
from hostemu.measure.journal import Journal
from tests.measure.builders import boot, campaign, session
path, limit = Path(sys.argv[1]), int(sys.argv[2])
with Journal.open(path, campaign().document(), session(), resume=True) as journal:
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + limit,) * 2)
    for repeat in range(1, 10_000):
        journal.append(boot(repeat).as_entry())
        print(repeat, flush=True)
"""


def writer(path: Path, limit: int = 0) -> subprocess.Popen[str]:
    """A process that appends measurements for ever, or until its file may not grow by more than so many bytes."""
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(limit)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_was_reported_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    with writer(path) as process:
        assert process.stdout is not None
        reported = [int(process.stdout.readline()) for _ in range(30)][-1]
        process.send_signal(signal.SIGKILL)
    kept = [m.repeat for m in read_journal(path).measurements]
    assert kept == list(range(1, len(kept) + 1))
    assert len(kept) >= reported


def test_a_full_disk_is_named_and_leaves_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    with writer(path, limit=1000) as process:
        out, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert HostError.__name__ in error
    assert "what was finished so far is kept" in error
    count = len(out.split())
    assert count > 0
    assert path.read_bytes().endswith(b"\n")
    assert [m.repeat for m in read_journal(path).measurements] == list(range(1, count + 1))
    with resume(path) as journal:
        journal.append(boot(count + 1).as_entry())
    assert len(read_journal(path).measurements) == count + 1


def test_lines_are_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "campaign.jsonl"
    begin(path, 1)
    kinds = [json.loads(line)["entry"] for line in path.read_text().splitlines()]
    assert kinds == ["campaign", "session", "measurement"]


@given(repeats=st.lists(st.integers(1, 50), unique=True))
def test_values_stand_in_the_order_of_their_measurement(repeats: list[int]) -> None:
    measurements: list[Measurement] = [boot(repeat, float(repeat)) for repeat in repeats]
    assert values_of(measurements, "boot_s") == [float(repeat) for repeat in sorted(repeats)]
