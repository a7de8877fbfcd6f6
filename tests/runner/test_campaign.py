"""Campaigns carried out: in labs of their own, on network namespaces, and on fake guests that fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.errors import HostError, InputError, RunError
from hostemu.measure.bench import FarmPlan
from hostemu.measure.costs import FIGURES, PARTS, load_costs
from hostemu.measure.definition import Campaign
from hostemu.measure.journal import Journal, Measurement, read_journal
from hostemu.measure.plan import Cell
from hostemu.runner import campaign as runner
from hostemu.runner.calibrate import costs_of
from hostemu.runner.campaign import run_campaign
from hostemu.runner.farms import farm_config
from hostemu.runner.places import places_for
from tests.contract.conftest import require
from tests.disturbed import undisturbed
from tests.lab.needs import needs_lab
from tests.measure.builders import boot, campaign

NOTHING = {"iperf": None, "memory": None, "guests": None, "boot": None, "costs": None}
BOOT = {"repeats": 3, "timeout": "30 s", "memory": "32 MiB"}
QUIET = {"before": "10 ms"}


def boots(**changes: Any) -> Campaign:
    """A campaign of boot times."""
    return campaign(**{**NOTHING, "boot": BOOT, "quiet": QUIET, **changes})


class Listener:
    """Takes the events of a campaign; may end it after so many measurements."""

    def __init__(self, stop_after: int = 1 << 30) -> None:
        self.lines: list[str] = []
        self.progress: list[tuple[int, int]] = []
        self.notes: list[str] = []
        self._stop_after = stop_after

    def __call__(self, event: dict[str, Any]) -> None:
        if "line" in event:
            self.lines.append(event["line"])
            return
        self.progress.append((event["done"], event["total"]))
        self.notes.append(event["note"])
        if event["done"] >= self._stop_after:
            raise KeyboardInterrupt


def play(
    made: Campaign, backends: Sequence[str], folder: Path, listener: Listener | None = None, *, resume: bool = False
) -> dict[str, Any]:
    return run_campaign(made, backends, places_for(made, folder), listener or Listener(), resume=resume)


def cell(summary: dict[str, Any], backend: str) -> dict[str, Any]:
    """The first cell of a backend."""
    return dict(next(cell for cell in summary["cells"] if cell["backend"] == backend))


@needs_lab
def test_a_campaign_measures_what_it_can_and_tells_why_it_cannot_measure_the_rest(tmp_path: Path) -> None:
    listener = Listener()
    made = boots(backends=["netns", "xen", "host"])
    summary = play(made, made.backends, tmp_path / "new", listener)
    assert cell(summary, "netns")["measured"] == 3
    assert "has no xen guests" in cell(summary, "xen")["reason"]
    assert [entry["backend"] for entry in summary["cells"]] == ["netns", "xen"]  # the bare host does not boot
    assert any(line.startswith("not measured: xen: hostemu") for line in listener.lines)
    assert listener.progress[0] == (0, 3)
    assert listener.progress[-1] == (3, 3)
    assert all("left" in note for note in listener.notes)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
        "campaign.json",
        "campaign.jsonl",
        "models.toml",
    ]


@needs_lab
def test_an_interrupted_campaign_measures_the_rest_only(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        play(boots(), ["netns"], tmp_path, Listener(stop_after=2))
    before = read_journal(tmp_path / "campaign.jsonl").measurements
    assert len(before) == 2
    with pytest.raises(InputError, match="--continue"):
        play(boots(), ["netns"], tmp_path)
    listener = Listener()
    summary = play(boots(), ["netns"], tmp_path, listener, resume=True)
    after = read_journal(tmp_path / "campaign.jsonl").measurements
    assert after[:2] == before
    assert len(after) == 3
    assert summary["sessions"] == 2
    assert listener.progress[0] == (2, 3)
    done = Listener()
    play(boots(), ["netns"], tmp_path, done, resume=True)
    assert done.progress == []
    assert len(read_journal(tmp_path / "campaign.jsonl").measurements) == 3


@needs_lab
def test_a_finished_campaign_can_be_extended_by_a_backend(tmp_path: Path) -> None:
    play(boots(), ["netns"], tmp_path)
    summary = play(boots(), ["netns", "fake"], tmp_path, resume=True)
    assert {name: cell(summary, name)["measured"] for name in ("netns", "fake")} == {"netns": 3, "fake": 3}


@needs_lab
def test_a_cell_that_fails_is_given_up_and_others_go_on(tmp_path: Path) -> None:
    # A fake guest cannot be pinged.
    ease_figure = {**BOOT, "timeout": "1 s"}
    made = campaign(**{**NOTHING, "boot": BOOT, "ease": ease_figure, "quiet": QUIET, "failures": 2})
    listener = Listener()
    summary = play(made, ["fake"], tmp_path, listener)
    ease = next(cell for cell in summary["cells"] if cell["figure"] == "ease")
    assert ease["measured"] == 0
    assert len(ease["failures"]) == 2
    assert "does not answer to a ping" in ease["reason"]
    assert cell(summary, "fake")["figure"] == "boot"
    assert cell(summary, "fake")["measured"] == 3
    assert len([line for line in listener.lines if line.startswith("failed: ease, fake")]) == 2
    assert (tmp_path / "blocks").is_dir()  # what is left of blocks that failed


@needs_lab
def test_when_nothing_can_be_measured_the_reasons_are_told(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        play(boots(backends=["xen"]), ["xen"], tmp_path)
    assert caught.value.exit_code == 1
    assert "xen: hostemu" in str(caught.value)


def test_a_backend_that_nobody_knows_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="vax"):
        play(boots(), ["netns", "vax"], tmp_path)
    assert list(tmp_path.iterdir()) == []


@needs_lab
def test_a_journal_that_cannot_be_written_ends_the_campaign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Any] = []
    append = Journal.append

    def full(self: Journal, entry: Any) -> None:
        if entry["entry"] == "measurement":
            written.append(entry)
            if len(written) == 2:
                raise HostError("cannot write to the journal: the disk is full")
        append(self, entry)

    monkeypatch.setattr(Journal, "append", full)
    with pytest.raises(HostError, match="disk is full"):
        play(boots(), ["netns"], tmp_path)
    content = read_journal(tmp_path / "campaign.jsonl")
    assert (len(content.measurements), content.failures) == (1, [])


@needs_lab
def test_a_lab_that_hangs_is_a_failure_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "LAB_S", -15.0)  # the rest: 30 s for the start, 1 s to look at the load
    slow = boots(boot={**BOOT, "timeout": "1 ms", "start": "10 s"}, failures=1, quiet={"before": "6 s"})
    with pytest.raises(RunError, match="nothing could be measured") as caught:
        play(slow, ["netns"], tmp_path)
    assert "did not finish in the time" in str(caught.value)


@needs_lab
@pytest.mark.heavy
@pytest.mark.parametrize("backend", ["netns", "uml", "qemu"])
def test_costs_are_measured_and_make_a_model(tmp_path: Path, backend: str) -> None:
    require(backend)
    actions = {"repeats": 1, "timeout": "1 min", "each": "200 ms"}
    changes = {"costs": {"repeats": 1}, "actions": actions, "quiet": QUIET, "order": "listed", "failures": 3}
    made = campaign(**{**NOTHING, **changes})
    places = places_for(made, tmp_path / "costs.toml", [backend])

    def disturbances() -> list[str]:
        """Why there is no model, where only runs that were invalid are to blame."""
        try:
            run_campaign(made, [backend], places, Listener(), resume=places.journal.exists())
        except RunError:
            said = [str(failure.error["message"]) for failure in read_journal(places.journal).failures]
            if not all("is invalid" in message for message in said):
                raise
            return said
        return []

    undisturbed(disturbances, lambda found: found)
    content = read_journal(tmp_path / "costs.jsonl")
    figures = load_costs(tmp_path / "costs.toml").figures_ns()
    assert figures == costs_of(content.measurements, backend).figures_ns()
    assert set(figures) == {*FIGURES, *PARTS, *(() if backend == "netns" else ("terminal_refused",))}
    assert set(content.done()) == {
        Cell("actions", backend),
        *(Cell("costs", backend, (("scenario", name),)) for name in ("cost-exchange", "cost-refused")),
    }


def test_a_cost_model_is_of_one_backend() -> None:
    values = [boot(1, backend="netns")]
    for backend, cost_ns in (("netns", 1000.0), ("uml", 9000.0)):
        for scenario, names in (("cost-exchange", FIGURES[1:]), ("cost-refused", FIGURES[:1])):
            cell = Cell("costs", backend, (("scenario", scenario),))
            values.append(Measurement(cell, 1, "2026", 1.0, {f"{name}_ns": cost_ns for name in names}))
    assert set(costs_of(values, "netns").figures_ns().values()) == {1000}
    assert set(costs_of(values, "uml").figures_ns().values()) == {9000}


def test_a_cost_model_without_all_figures_is_none() -> None:
    with pytest.raises(RunError, match="no cost model") as caught:
        costs_of([], "netns")
    assert "isp_refused" in str(caught.value)


def test_a_farm_for_a_campaign_is_always_on_or_as_in_the_thesis() -> None:
    always, cycling = (farm_config(FarmPlan(500, "10.128.0.1", 5000, is_cycling)) for is_cycling in (False, True))
    assert (always.count, always.first_address, always.port) == (500, "10.128.0.1", 5000)
    assert always.power.phase.value == "on"
    assert (cycling.power.on_ns, cycling.power.off_max_ns) == (5 * 10**9, 60 * 10**9)
    assert cycling.power.phase.value == "random"
