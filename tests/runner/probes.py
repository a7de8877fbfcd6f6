"""Probes of backends that misbehave, called in a lab: functions of (name, emit)."""

from __future__ import annotations

import os
import signal
import time
from typing import Any


def works(name: str, _emit: Any) -> dict[str, Any]:
    """As a backend that is usable."""
    return {"usable": True, "reason": f"{name} works", "fix": ""}


def hangs(_name: str, _emit: Any) -> None:
    """For ever, deaf to all requests to end."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)


def crashes(_name: str, _emit: Any) -> None:
    """With an error that nobody foresaw."""
    raise ZeroDivisionError("by nothing")


def dies(_name: str, _emit: Any) -> None:
    """Without a word."""
    os.kill(os.getpid(), signal.SIGKILL)
