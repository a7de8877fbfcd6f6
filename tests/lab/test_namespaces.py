"""Network namespaces and their NICs, in labs of the test's own."""

from __future__ import annotations

import pytest

from hostemu.lab import call_in_lab
from tests.lab.needs import needs_lab
from tests.lab.traffic import TRANSFER_BYTES

pytestmark = needs_lab
TRAFFIC = "tests.lab.traffic:"
TIMEOUT_S = 60.0


def usable_kinds() -> list[str]:
    """Packet sockets work wherever labs do; TAPs need their device."""
    best = call_in_lab(TRAFFIC + "default_kind", None, timeout_s=TIMEOUT_S)
    return ["veth"] if best == "veth" else ["tap", "veth"]


@pytest.fixture(params=["tap", "veth"])
def kind(request: pytest.FixtureRequest) -> str:
    if request.param not in usable_kinds():
        pytest.skip("/dev/net/tun cannot be opened here")
    wanted: str = request.param
    return wanted


def test_tcp_runs_both_ways_in_super_frames_to_own_and_to_local_addresses(kind: str) -> None:
    seen = call_in_lab(TRAFFIC + "tcp", kind, timeout_s=TIMEOUT_S)
    assert seen["kinds"] == [kind, kind]
    assert set(seen["arrived"].values()) == {TRANSFER_BYTES}
    assert min(seen["largest"]) > 3000  # larger than any MTU here: the kernel left segmentation to the NIC


def test_a_new_nic_is_silent(kind: str) -> None:
    assert call_in_lab(TRAFFIC + "silence", kind, timeout_s=TIMEOUT_S) == 0


def test_settings_are_the_namespaces_own_and_refused_ones_are_named() -> None:
    wanted = {"net.core.somaxconn": "12345", "net.ipv4.ip_local_port_range": "1024\t65535", "net.no.such": "1"}
    seen = call_in_lab(TRAFFIC + "settings", wanted, timeout_s=TIMEOUT_S)
    if "net.core.somaxconn" in seen["refused"]:
        pytest.skip("/proc/sys is read-only here")
    assert seen["refused"] == ["net.no.such"]
    assert seen["inside"] == {name: value for name, value in wanted.items() if name != "net.no.such"}
    assert seen["outside"]["net.core.somaxconn"] != "12345"


def test_what_the_kernel_refuses_is_an_error() -> None:
    assert "unreachable" in call_in_lab(TRAFFIC + "refused_route", None, timeout_s=TIMEOUT_S)


def test_no_descriptor_is_left_when_an_acquisition_fails(kind: str) -> None:
    assert call_in_lab(TRAFFIC + "leaks", kind, timeout_s=TIMEOUT_S) == [0, 0, 0, 0]


def test_no_descriptor_is_left_when_the_kernel_refuses(kind: str) -> None:
    assert call_in_lab(TRAFFIC + "leaks_after_refusals", kind, timeout_s=TIMEOUT_S) == 0
