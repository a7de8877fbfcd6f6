"""Finding a backend by name, and choosing one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostemu.base.errors import HostError, InputError
from hostemu.guests import BACKENDS, Probe, backend, choose, offered

USABLE = Probe(True, "it works")
BROKEN = Probe(False, "it is broken", "mend it")


def test_an_unknown_backend_is_bad_input_and_the_usable_ones_are_named() -> None:
    with pytest.raises(InputError) as caught:
        backend("vax")
    assert "vax" in str(caught.value)
    assert "netns" in str(caught.value)
    assert "auto" in str(caught.value)


def test_network_namespaces_and_the_fake_are_known() -> None:
    assert {"netns", "fake"} <= set(BACKENDS)


def test_the_fake_is_not_offered() -> None:
    assert set(offered()) == set(BACKENDS) - {"fake"}


@pytest.mark.parametrize(
    ("kvm", "qemu", "chosen"), [(USABLE, USABLE, "kvm"), (USABLE, BROKEN, "kvm"), (BROKEN, USABLE, "qemu")]
)
def test_auto_is_kvm_where_it_works_and_else_qemu(kvm: Probe, qemu: Probe, chosen: str) -> None:
    assert choose({"netns": USABLE, "qemu": qemu, "kvm": kvm})[0] == chosen


def test_auto_says_why_a_faster_one_was_passed_over() -> None:
    assert choose({"kvm": BROKEN, "qemu": Probe(True, "QEMU 7.2")}) == (
        "qemu",
        "QEMU 7.2; kvm is unusable because it is broken",
    )


def test_auto_without_an_emulator_that_works_says_all_reasons_and_remedies() -> None:
    with pytest.raises(HostError) as caught:
        choose({"netns": USABLE, "kvm": BROKEN})
    assert caught.value.exit_code == 3
    assert "kvm is unusable because it is broken" in str(caught.value)
    assert "qemu is unusable because" in str(caught.value)
    assert "mend it" in str(caught.value)


@given(st.dictionaries(st.sampled_from(["netns", "uml", "qemu", "kvm"]), st.sampled_from([USABLE, BROKEN])))
def test_auto_takes_only_what_is_usable_and_a_machine(probes: dict[str, Probe]) -> None:
    machines = {name for name, probe in probes.items() if probe.usable} & {"qemu", "kvm"}
    if machines:
        assert choose(probes)[0] == min(machines)  # by accident, the order of the alphabet is that of speed
    else:
        with pytest.raises(HostError):
            choose(probes)
