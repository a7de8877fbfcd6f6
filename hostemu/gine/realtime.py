"""Which real-time priority the engine's thread may have."""

from __future__ import annotations

import os
import threading
from contextlib import suppress

LOWEST = 1
"""SCHED_FIFO, the lowest: it need only come before ordinary programs."""


def realtime_priority() -> int | None:
    """The priority to give to Engine: the lowest real-time one, None where this process may have none.

    Found by trying, in a thread.
    """
    allowed: list[int] = []

    def attempt() -> None:
        with suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(LOWEST))
            allowed.append(LOWEST)

    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return allowed[0] if allowed else None
