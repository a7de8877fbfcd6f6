"""Finding a backend by name."""

from __future__ import annotations

import pytest

from hostemu.base.errors import InputError
from hostemu.guests import BACKENDS, backend


def test_an_unknown_backend_is_bad_input_and_the_usable_ones_are_named() -> None:
    with pytest.raises(InputError) as caught:
        backend("vax")
    assert "vax" in str(caught.value)
    assert "netns" in str(caught.value)


def test_network_namespaces_and_the_fake_are_known() -> None:
    assert {"netns", "fake"} <= set(BACKENDS)
