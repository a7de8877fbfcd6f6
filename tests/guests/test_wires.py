"""What NICs can be joined to beside the emulator: TAPs of the host, multicast sockets, a switch daemon."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hostemu.lab import call_in_lab
from tests.contract.conftest import require
from tests.lab.needs import needs_lab

pytestmark = needs_lab
TIMEOUT_S = 120.0


@pytest.mark.parametrize("backend", ["uml", "qemu"])
def test_a_guest_and_the_host_reach_each_other_over_a_tap(backend: str, tmp_path: Path) -> None:
    require(backend)
    argument = {"backend": backend, "folder": str(tmp_path)}
    seen = call_in_lab("tests.guests.wires_inside:host_interface", argument, timeout_s=TIMEOUT_S)
    assert (seen["ping"], seen["peer"], seen["heard"]) == (0, "10.1.0.2", "hello\n")


@pytest.mark.parametrize("backends", ["uml,uml,uml", "qemu,qemu,qemu", "uml,qemu,uml"])
def test_guests_reach_each_other_over_multicast_sockets(backends: str, tmp_path: Path) -> None:
    for name in set(backends.split(",")):
        require(name)
    argument = {"backends": backends, "folder": str(tmp_path)}
    assert call_in_lab("tests.guests.wires_inside:multicast", argument, timeout_s=TIMEOUT_S) == [0, 0, 0]


@pytest.mark.skipif(not (shutil.which("vde_switch") or shutil.which("uml_switch")), reason="no switch daemon")
@pytest.mark.parametrize("backends", ["uml,uml,uml", "uml,qemu,uml"])
def test_guests_reach_each_other_over_a_switch_daemon(backends: str, tmp_path: Path) -> None:
    if "qemu" in backends and not shutil.which("vde_switch"):
        pytest.skip("QEMU needs vde_switch")
    for name in set(backends.split(",")):
        require(name)
    argument = {"backends": backends, "folder": str(tmp_path)}
    assert call_in_lab("tests.guests.wires_inside:switch", argument, timeout_s=TIMEOUT_S) == [0, 0, 0]
