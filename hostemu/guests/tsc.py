"""How fast this machine's time stamp counter runs."""

from __future__ import annotations

import subprocess
from functools import cache

from hostemu.guests.image import agent_program


@cache
def tsc_khz() -> int | None:
    """Its frequency in kHz, measured once against the monotonic clock; None where there is no such counter.

    A guest that is told need not measure it, and would measure it badly in an emulator.
    """
    done = subprocess.run([agent_program(), "tsc"], capture_output=True, text=True, check=False)
    return int(done.stdout) if done.returncode == 0 else None
