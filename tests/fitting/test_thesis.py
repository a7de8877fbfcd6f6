"""The thesis' tables as models: the shipped file is what its tables make, and says what they say."""

from __future__ import annotations

import math
import tomllib

import pytest

from hostemu.base.resources import data_file
from hostemu.fitting import Model, Models, find_models, load_models, thesis_models

MIB = 1 << 20
PUBLISHED = tomllib.loads(data_file("models", "thesis-2008.toml").read_text(encoding="utf-8"))
BACKENDS = ("qemu", "kvm", "vmware", "xen", "uml")


@pytest.fixture(scope="module")
def shipped() -> Models:
    return load_models(find_models("thesis-2008-models"))


def model(models: Models, quantity: str, backend: str) -> Model:
    found = models.get(quantity, backend)
    assert found is not None
    return found


def test_the_shipped_file_is_what_tools_thesis_models_makes(shipped: Models) -> None:
    made = thesis_models(PUBLISHED)
    assert list(made.models) == list(shipped.models)
    assert (made.source, made.host, made.missing) == (shipped.source, shipped.host, shipped.missing)
    for name, one in made.models.items():
        other = shipped.models[name]
        assert (one.quantity, one.over, one.backend) == (other.quantity, other.over, other.backend)
        assert (one.fit.form.name, one.fit.n) == (other.fit.form.name, other.fit.n)
        assert (one.fit.least, one.fit.most) == (other.fit.least, other.fit.most)
        assert one.fit.residuals == pytest.approx(other.fit.residuals, abs=1e-6)
        for x in (one.fit.least, 3 * one.fit.most):
            assert one.at(x).value == pytest.approx(other.at(x).value, rel=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_table_1_is_known_for_100_clients_and_nothing_of_its_spread(shipped: Models, backend: str) -> None:
    for program in ("iperf", "tbench"):
        found = model(shipped, f"direct_{program}_bps", backend).at(100)
        assert found.value == pytest.approx(1000 * PUBLISHED["table1"][program][backend])
        assert math.isinf(found.half_width)
        assert not found.is_extrapolated
    assert model(shipped, "direct_iperf_bps", backend).at(50).is_extrapolated
    frame_s = model(shipped, "guest_frame_ns", backend).at(1).value / 1e9
    assert 1448 * 8 / frame_s == pytest.approx(1000 * PUBLISHED["table1"]["iperf"][backend])


@pytest.mark.parametrize("backend", BACKENDS)
def test_table_2_is_followed_to_a_tenth(shipped: Models, backend: str) -> None:
    found = model(shipped, "memory_bytes", backend)
    for size, taken in PUBLISHED["table2"][backend].items():
        assert found.at(float(size) * MIB).value == pytest.approx(taken * MIB, rel=0.1)
    assert found.at(512.0 * MIB).is_extrapolated


@pytest.mark.parametrize(("backend", "by_memory"), [("qemu", 37.0), ("kvm", 58.9), ("uml", 143.2)])
def test_table_3_is_not_what_table_2_would_have_it_be(shipped: Models, backend: str, by_memory: float) -> None:
    published = PUBLISHED["table3"][backend]
    assert model(shipped, "guests", backend).at(2048.0 * MIB).value == pytest.approx(published)
    derived = model(shipped, "guests_by_memory", backend)
    assert derived.at(2048.0 * MIB).value == pytest.approx(by_memory, abs=0.1)
    assert derived.fit.residuals == pytest.approx([(published - by_memory) / published], abs=0.01)


def test_one_guest_is_no_matter_of_memory(shipped: Models) -> None:
    assert set(shipped.missing) == {"guests-vmware", "guests-xen"}
    assert shipped.get("guests", "xen") is None


def test_terminals_per_guest_are_those_of_section_5(shipped: Models) -> None:
    assert model(shipped, "terminals_per_guest", "qemu").at(1).value == pytest.approx(103)
    assert model(shipped, "terminals_per_guest", "uml").at(1).value == pytest.approx(211)
