"""How long an emulated guest takes to import the center's program, by the room that TCG has for translated code."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from hostemu.base.deadline import Deadline
from hostemu.guests import GuestSpec, backend, qemu
from hostemu.lab import call_in_lab
from tests.contract.conftest import require
from tests.guests.kernels import may_build
from tests.lab.needs import needs_lab

pytestmark = [pytest.mark.bench, needs_lab, may_build]

ROOT = Path(__file__).resolve().parents[2]
SIZES_MB = (8, 16, 32, 64)
MEMORY_BYTES = 256 << 20
IMPORT = "import hostemu.retrieval.center"


def imported(argument: dict[str, Any], _emit: Callable[[dict[str, Any]], None]) -> float:
    """In the lab: seconds of the second import, by a guest with a buffer of this size."""
    folder = Path(argument["folder"])
    shared = folder / "shared"
    shared.mkdir(parents=True)
    spec = GuestSpec("center", memory_bytes=MEMORY_BYTES, shares=shared)
    command = [sys.executable, "-c", IMPORT]
    with (
        patch.object(qemu, "HOST_PROGRAMS_TRANSLATION_MB", argument["size_mb"]),
        backend("qemu").create(spec, folder / "guest") as guest,
    ):
        deadline = Deadline.after(280.0, "imports in a guest")
        guest.start(deadline)
        guest.wait_ready(deadline)
        for _ in range(2):
            began_s = time.monotonic()
            guest.run(command, deadline=deadline, env={"PYTHONPATH": str(ROOT)})
            took_s = time.monotonic() - began_s
    return took_s


@pytest.mark.timeout(1200)
def test_the_centers_program_fits_in_the_room_for_translated_code(tmp_path: Path) -> None:
    require("qemu")
    took_s = {}
    print()
    for size_mb in SIZES_MB:
        order = {"size_mb": size_mb, "folder": str(tmp_path / str(size_mb))}
        took_s[size_mb] = call_in_lab("tests.bench.test_translation_bench:imported", order, timeout_s=300.0)
        print(f"{size_mb} MB for translated code: the center's program is imported in {took_s[size_mb]:.1f} s")
    assert qemu.HOST_PROGRAMS_TRANSLATION_MB in SIZES_MB
    assert took_s[qemu.HOST_PROGRAMS_TRANSLATION_MB] < 0.6 * took_s[qemu.TRANSLATION_MB]
