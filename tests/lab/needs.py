"""Whether labs can be made here, tried once."""

from __future__ import annotations

import pytest

from hostemu.lab import lab_possible

POSSIBLE, REASON, _ = lab_possible()
needs_lab = pytest.mark.skipif(not POSSIBLE, reason=f"no lab on this machine: {REASON}")
