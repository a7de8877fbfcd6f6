"""Models as tables."""

from __future__ import annotations

import pytest

from hostemu.base.errors import InputError
from hostemu.fitting import Model, Models, fit
from hostemu.fitting.models import constant
from hostemu.report.models import as_table, described

MIB = 1 << 20
MODELS = Models(
    "a test",
    {
        "memory-uml": Model(
            "memory_bytes",
            "configured_bytes",
            "uml",
            fit("linear", [MIB, 2 * MIB, 4 * MIB, 8 * MIB], [11 * MIB, 12 * MIB, 14.1 * MIB, 18 * MIB]),
        ),
        "boot-qemu": constant("boot_s", "qemu", [1.0, 1.2]),
    },
)


def test_a_prediction_outside_of_the_range_is_marked() -> None:
    inside, outside = (described(MODELS, {"configured_bytes": x * MIB})[0] for x in (8, 9))
    assert inside["prediction"]["is_extrapolated"] is False
    assert outside["prediction"]["is_extrapolated"] is True
    assert outside["text"].endswith("extrapolated")
    assert outside["prediction"]["value"] == pytest.approx(19 * MIB, rel=0.01)
    assert outside["text"].startswith(("18.9 MiB", "19.0 MiB", "19.1 MiB"))


def test_what_depends_on_nothing_is_always_predicted_and_other_models_only_where_asked() -> None:
    memory, boot = described(MODELS, {})
    assert memory["prediction"] is None
    assert boot["prediction"]["value"] == pytest.approx(1.1, rel=0.02)
    assert boot["range"] is None
    assert as_table("a test", [memory, boot]).row_count == 2


def test_only_guests_of_a_backend_are_shown_and_variables_must_be_theirs() -> None:
    assert [row["name"] for row in described(MODELS, {}, "qemu")] == ["boot-qemu"]
    with pytest.raises(InputError, match="function of configured_bytes"):
        described(MODELS, {"configured_bytes": 1.0}, "qemu")


@pytest.mark.parametrize(("most", "shown"), [(1400, "200 … 1,400 B"), (4 * MIB, "0.0 … 4.0 MiB")])
def test_ranges_are_shown_in_a_unit_of_their_size(most: int, shown: str) -> None:
    sizes = [200.0, most / 4, most / 2, float(most)]
    models = Models("a test", {"load": Model("packets_per_s", "payload_bytes", "uml", fit("linear", sizes, sizes))})
    cells = list(as_table("a test", described(models, {})).columns[1].cells)
    assert cells == [f"linear over payload_bytes\n{shown}"]
