"""Fixtures of the retrieval programs' tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.retrieval import builds
from tests.retrieval.driver import Driver
from tests.retrieval.harness import FARMS


@pytest.fixture(params=FARMS)
def terminals(request: pytest.FixtureRequest) -> str:
    """The farm program: every implementation of it, under the name that `running` takes."""
    return str(request.param)


@pytest.fixture(scope="module")
def parts() -> Iterator[Driver]:
    """The parts of the program in C."""
    with Driver(builds.driver()) as driver:
        yield driver
