"""The farm program a second time, in C: for guests that have no room for Python.

Its sources are in the folder `c`.  It reads the same configuration as hostemu.retrieval.terminals, leads the same
conversation and sends the same bytes; tests drive both alike.  Usage: `terminals CONFIG.json`.
"""

from __future__ import annotations

from pathlib import Path

from hostemu.guests.toolchain import compiled

SOURCES = Path(__file__).with_name("c")


def farm_program() -> Path:
    """The static program, compiled when it is asked for the first time; HostError when there is no compiler."""
    return compiled("terminals", sorted(SOURCES.glob("*.c")), sorted(SOURCES.glob("*.h")))
