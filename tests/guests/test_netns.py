"""Guests that are network namespaces: what the contract leaves open."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from hostemu.base.errors import CommandFailed
from hostemu.lab import call_in_lab
from tests.lab.needs import needs_lab

pytestmark = needs_lab


def inside(function: str, folder: Path) -> Any:
    return call_in_lab(f"tests.guests.inside:{function}", str(folder / "guest"), timeout_s=120)


@pytest.mark.skipif(shutil.which("ip") is None, reason="not found: ip")
def test_a_guest_has_the_network_that_its_spec_says_and_nothing_else(tmp_path: Path) -> None:
    said = inside("network", tmp_path)
    assert "mtu 1400" in said["link show eth0"]
    assert "02:00:00:00:00:01" in said["link show eth0"]
    assert "inet 10.0.0.2/24" in said["addr show eth0"]
    assert "inet6 fd00::2/64" in said["addr show eth0"]
    assert "tentative" not in said["addr show eth0"]
    assert "fe80" not in said["addr show eth0"]
    assert "default via 10.0.0.1 dev eth0" in said["route show table all"]
    assert "local 10.9.0.0/24 dev lo" in said["route show table all"]
    assert "10.0.0.1 dev eth0 lladdr 02:00:00:00:00:02 PERMANENT" in said["neigh show"]
    assert "default via fd00::1 dev eth0" in said["-6 route show"]


def test_a_pulled_cable_stops_traffic_and_a_plugged_one_lets_it_on(tmp_path: Path) -> None:
    seen = inside("traffic", tmp_path)
    assert seen["datagrams"] == [5, 0, 5]
    assert seen["tx_frames"] >= 10
    assert seen["cpu_s"] > 0


def test_usage_counts_living_and_ended_programs(tmp_path: Path) -> None:
    seen = inside("usage", tmp_path)
    cpu_s, rss_bytes, maxrss_bytes = seen["alive"]
    assert 0.25 < cpu_s < 5
    assert 1 << 20 < rss_bytes <= maxrss_bytes < 1 << 30
    assert seen["guest"][0] >= cpu_s
    assert seen["guest"][1] > 1 << 20
    assert seen["ended"][0] >= 0.3
    assert seen["ended"][1] == 0
    assert seen["ended"][2] > 1 << 20
    assert seen["guest afterwards"][0] >= 0.3
    assert seen["guest afterwards"][1] == 0


def test_a_programs_descendants_end_with_it_and_with_the_guest(tmp_path: Path) -> None:
    assert inside("families", tmp_path) == {"killed": 0, "guest ended": 0}


def test_a_program_that_is_killed_while_it_starts_is_gone(tmp_path: Path) -> None:
    assert inside("early_kills", tmp_path) == 0


def test_stopping_is_polite_first_and_firm_at_last(tmp_path: Path) -> None:
    assert inside("politeness", tmp_path) == {"catches": 7, "ignores": 137, "does not care": 137}


def test_pausing_stops_descendants_too(tmp_path: Path) -> None:
    seen = inside("pausing", tmp_path)
    assert seen["paused"] == ["T"] * 4
    assert len(seen["resumed"]) == 4
    assert "T" not in seen["resumed"]


def test_the_death_of_a_program_is_noticed(tmp_path: Path) -> None:
    assert inside("sudden_death", tmp_path) == {"rest": "", "status": 137}


def test_a_guest_can_be_wired_to_the_host_without_the_emulator(tmp_path: Path) -> None:
    seen = inside("direct", tmp_path)
    assert "02:00:00:00:00:01" in seen["guest sees"]
    assert seen["host sees"] == "10.1.0.2"
    assert (seen["port"], seen["no site"], seen["no such wire"]) == ("InputError",) * 3


def test_a_guest_is_made_of_its_programs(tmp_path: Path) -> None:
    assert inside("own_processes", tmp_path) == {"before": 0, "with a family": 4}


def test_a_failed_commands_last_words_are_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        inside("complaints", tmp_path)
    assert "exit status 3" in str(caught.value)
    assert "so sorry" in str(caught.value)


def test_a_program_that_ended_unseen_keeps_its_exit_status(tmp_path: Path) -> None:
    assert inside("ended_unseen", tmp_path) == [7] * 5
