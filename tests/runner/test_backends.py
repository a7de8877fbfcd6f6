"""Trying backends: whatever a probe does, an answer comes in time."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from hostemu.base.errors import HostError, InputError
from hostemu.guests import BACKENDS, MACHINES, Probe, choose
from hostemu.runner.backends import Choice, resolve_backend, try_backend, try_backends
from tests.lab.needs import needs_lab


def children() -> set[str]:
    return {pid for path in Path("/proc/self/task").glob("*/children") for pid in path.read_text().split()}


@pytest.fixture(autouse=True)
def _nothing_is_left() -> object:
    before = children()
    yield
    assert children() == before


@needs_lab
def test_what_a_probe_says_comes_out() -> None:
    probe = try_backend("netns", target="tests.runner.probes:works")
    assert probe == Probe(True, "netns works")


@needs_lab
def test_the_backends_of_this_machine_are_tried() -> None:
    probes = try_backends(["netns"])
    assert list(probes) == ["netns"]
    assert probes["netns"].usable
    assert "namespaces" in probes["netns"].reason


@needs_lab
def test_a_probe_that_hangs_is_reported_and_ended_in_time() -> None:
    start_s = time.monotonic()
    probe = try_backend("netns", limit_s=1.5, target="tests.runner.probes:hangs")
    assert time.monotonic() - start_s < 10
    assert (probe.usable, probe.reason) == (False, "it gave no answer within 1.5 s")
    assert "hangs" in probe.fix


@needs_lab
@pytest.mark.parametrize(("target", "word"), [("crashes", "ZeroDivisionError: by nothing"), ("dies", "signal 9")])
def test_a_probe_that_ends_badly_is_an_answer_in_one_line(target: str, word: str) -> None:
    probe = try_backend("netns", target=f"tests.runner.probes:{target}")
    assert not probe.usable
    assert word in probe.reason
    assert "\n" not in probe.reason
    assert probe.fix


def test_a_name_is_its_own_choice_and_an_unknown_one_is_bad_input() -> None:
    assert resolve_backend("netns") == Choice("netns")
    with pytest.raises(InputError, match="vax"):
        resolve_backend("vax")


@needs_lab
def test_auto_is_what_the_probes_of_the_emulators_lead_to() -> None:
    probes = try_backends(name for name in MACHINES if name in BACKENDS)
    if any(probe.usable for probe in probes.values()):
        name = choose(probes)[0]
        assert probes[name].usable
        choice = resolve_backend("auto")
        assert choice.name == name
        assert choice.why
    else:
        with pytest.raises(HostError, match="no machine emulator works here"):
            resolve_backend("auto")
