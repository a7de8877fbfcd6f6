"""Outcomes and reasons as compiled code takes them: plain numbers."""

from __future__ import annotations

from hostemu.protocol.reasons import Outcome, Reason

PENDING = int(Outcome.PENDING)
RETRIEVED = int(Outcome.RETRIEVED)
FAILED = int(Outcome.FAILED)

NONE = int(Reason.NONE)
REFUSED = int(Reason.REFUSED)
SILENT = int(Reason.SILENT)
RESET = int(Reason.RESET)
TIMEOUT = int(Reason.TIMEOUT)
UNEXPECTED = int(Reason.UNEXPECTED)
REPLAY = int(Reason.REPLAY)
DEADLINE = int(Reason.DEADLINE)
